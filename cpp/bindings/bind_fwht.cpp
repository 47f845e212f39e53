#include <pybind11/pybind11.h>

#include "arrays.hpp"
#include "veil/fwht.hpp"

namespace veil::bindings {
namespace {

template <class T>
void transform(const py::handle& x, int threads) {
  const auto values = output<T>(x, "x");
  const py::gil_scoped_release release;
  fwht(values, threads);
}

}  // namespace

void bind_fwht(py::module_& module) {
  module.def(
      "fwht",
      [](const py::handle& x, const py::object& threads) {
        const int count = resolve_threads(threads);
        if (py::isinstance<py::array_t<float>>(x)) return transform<float>(x, count);
        transform<double>(x, count);
      },
      py::arg("x"), py::arg("threads") = py::none());
}

}  // namespace veil::bindings
