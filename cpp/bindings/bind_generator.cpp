#include <memory>

#include "arrays.hpp"
#include "ciphers.hpp"
#include "veil/discrete.hpp"
#include "veil/generator.hpp"
#include "veil/normal.hpp"

namespace veil::bindings {
namespace {

// Calls fill(span) on `out` as float32 or float64, without the GIL.
template <class Fill>
void fill_floats(const py::handle& out, Fill fill) {
  if (py::isinstance<py::array_t<float>>(out)) {
    const auto values = output<float>(out, "out");
    const py::gil_scoped_release release;
    return fill(values);
  }
  const auto values = output<double>(out, "out");
  const py::gil_scoped_release release;
  fill(values);
}

std::span<std::uint64_t> as_unsigned(std::span<std::int64_t> values) {
  return {reinterpret_cast<std::uint64_t*>(values.data()), values.size()};
}

void fill_normal(SecureGenerator& self, const py::handle& out, double scale,
                 const py::object& threads) {
  const int count = resolve_threads(threads);
  fill_floats(out, [&]<class T>(std::span<T> values) {
    normal(self, values, static_cast<T>(scale), count);
  });
}

void fill_laplace(SecureGenerator& self, const py::handle& out, double scale,
                  const py::object& threads) {
  const int count = resolve_threads(threads);
  fill_floats(out, [&]<class T>(std::span<T> values) {
    laplace(self, values, static_cast<T>(scale), count);
  });
}

void fill_uniform(SecureGenerator& self, const py::handle& out, const py::object& threads) {
  const int count = resolve_threads(threads);
  fill_floats(out, [&]<class T>(std::span<T> values) { uniform(self, values, count); });
}

void fill_integers(SecureGenerator& self, const py::handle& out, std::uint64_t high,
                   const py::object& threads) {
  const auto values = as_unsigned(output<std::int64_t>(out, "out"));
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  integers(self, values, high, count);
}

void fill_bernoulli(SecureGenerator& self, const py::handle& out, std::uint64_t threshold,
                    const py::object& threads) {
  static_assert(sizeof(bool) == 1);
  const auto values = output<bool>(out, "out");
  const std::span bytes{reinterpret_cast<std::uint8_t*>(values.data()), values.size()};
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  bernoulli(self, bytes, threshold, count);
}

void fill_permutation(SecureGenerator& self, const py::handle& out) {
  const auto values = as_unsigned(output<std::int64_t>(out, "out"));
  const py::gil_scoped_release release;
  permutation(self, values);
}

py::bytes draw_bytes(SecureGenerator& self, std::size_t n) {
  const StreamSlice stream = self.reserve(n);
  auto result = py::reinterpret_steal<py::bytes>(
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(n)));
  if (!result) throw py::error_already_set();
  auto* data = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(result.ptr()));
  const py::gil_scoped_release release;
  stream.fill(0, {data, n});
  return result;
}

}  // namespace

void bind_generator(py::module_& module) {
  py::class_<SecureGenerator>(module, "SecureGenerator")
      .def(py::init<>())
      .def(py::init([](const py::handle& seed) {
             return std::make_unique<SecureGenerator>(byte_view(seed, "seed").span());
           }),
           py::arg("seed"))
      .def_property_readonly("seeded", &SecureGenerator::seeded)
      .def("draw_bytes", &draw_bytes, py::arg("n"))
      .def("fill_normal", &fill_normal, py::arg("out"), py::arg("scale"), py::arg("threads"))
      .def("fill_laplace", &fill_laplace, py::arg("out"), py::arg("scale"), py::arg("threads"))
      .def("fill_uniform", &fill_uniform, py::arg("out"), py::arg("threads"))
      .def("fill_integers", &fill_integers, py::arg("out"), py::arg("high"), py::arg("threads"))
      .def("fill_bernoulli", &fill_bernoulli, py::arg("out"), py::arg("threshold"),
           py::arg("threads"))
      .def("fill_permutation", &fill_permutation, py::arg("out"));
}

}  // namespace veil::bindings
