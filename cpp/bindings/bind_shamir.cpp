#include <pybind11/pybind11.h>

#include "arrays.hpp"
#include "veil/shamir.hpp"

namespace veil::bindings {
namespace {

void split(const py::object& coefficients, const py::object& points, const py::object& shares,
           const py::object& threads) {
  const auto rows = input<std::uint32_t>(coefficients, "coefficients");
  const auto at = input<std::uint32_t>(points, "points");
  const auto out = output<std::uint32_t>(shares, "shares");
  const auto shape = require_array<std::uint32_t>(coefficients, "coefficients");
  if (shape.ndim() != 2) throw py::value_error("coefficients: expected 2 dimensions");
  require_no_overlap(rows, out, "coefficients", "shares", false);
  const auto threshold = static_cast<std::size_t>(shape.shape(0));
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  shamir_split(rows, threshold, at, out, count);
}

void lagrange(const py::object& points, const py::object& weights) {
  const auto at = input<std::uint32_t>(points, "points");
  const auto out = output<std::uint32_t>(weights, "weights");
  const py::gil_scoped_release release;
  shamir_lagrange_weights(at, out);
}

void combine(const py::object& weights, const py::object& shares, const py::object& secrets,
             const py::object& threads) {
  const auto factors = input<std::uint32_t>(weights, "weights");
  const auto rows = input<std::uint32_t>(shares, "shares");
  const auto out = output<std::uint32_t>(secrets, "secrets");
  require_no_overlap(rows, out, "shares", "secrets", false);
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  shamir_combine(factors, rows, out, count);
}

}  // namespace

void bind_shamir(py::module_& module) {
  const py::object none = py::none();
  module.attr("SHAMIR_PRIME") = kShamirPrime;
  module.attr("SHAMIR_MAX_POINT") = kShamirMaxPoint;
  module.def("shamir_split", &split, py::arg("coefficients"), py::arg("points"), py::arg("shares"),
             py::arg("threads") = none);
  module.def("shamir_lagrange_weights", &lagrange, py::arg("points"), py::arg("weights"));
  module.def("shamir_combine", &combine, py::arg("weights"), py::arg("shares"), py::arg("secrets"),
             py::arg("threads") = none);
}

}  // namespace veil::bindings
