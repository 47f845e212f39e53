#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/float_mode.hpp"
#include "veil/parallel.hpp"

namespace veil::bindings {

namespace py = pybind11;

namespace {

// A context manager around NumPy's arithmetic on secret values.
class SubnormalsAsZero {
 public:
  void enter() {
    if (mode_) throw std::runtime_error("SubnormalsAsZero: it is in use; make another");
    mode_.emplace(Subnormals::zero);
  }
  void exit(const py::args&) { mode_.reset(); }

 private:
  std::optional<FloatMode> mode_;
};

}  // namespace

void bind_core(py::module_& module) {
  try {
    active_kernels();  // a wrong VEIL_FORCE_ISA must fail the import, not the first call
  } catch (const std::runtime_error& error) {
    throw py::import_error(error.what());
  }
  module.def("isa", [] { return std::string(active_kernels().name); });
  module.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const KernelTable* table : supported_kernels()) names.emplace_back(table->name);
    return names;
  });
  module.def("default_threads", &default_threads);
  module.def("set_num_threads", &set_num_threads, py::arg("n"));
  py::class_<SubnormalsAsZero>(module, "SubnormalsAsZero")
      .def(py::init<>())
      .def("__enter__", &SubnormalsAsZero::enter)
      .def("__exit__", &SubnormalsAsZero::exit);
}

}  // namespace veil::bindings
