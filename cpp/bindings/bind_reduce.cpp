#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "update.hpp"
#include "veil/reduce.hpp"

namespace veil::bindings {
namespace {

void mean_of_updates(const py::sequence& updates, const py::handle& weights, const py::handle& out,
                     const std::string& format_name, const py::object& threads) {
  const FloatFormat format = float_format(format_name);
  const py::dtype dtype = dtype_of(format);
  py::array target = require_array(out, "out", dtype);
  require_writable(target, "out");
  const auto length = static_cast<std::size_t>(target.size());
  const std::span<std::uint8_t> target_bytes{static_cast<std::uint8_t*>(target.mutable_data()),
                                             static_cast<std::size_t>(target.nbytes())};
  std::vector<const void*> rows;
  rows.reserve(updates.size());
  for (std::size_t i = 0; i < updates.size(); ++i) {
    const std::string name = "updates[" + std::to_string(i) + "]";
    const py::array update = require_array(updates[i], name.c_str(), dtype);
    require_size(name.c_str(), length, static_cast<std::size_t>(update.size()));
    require_no_overlap(bytes_of_array(update), target_bytes, name.c_str(), "out", false);
    rows.push_back(update.data());
  }
  const auto weight_span = input<double>(weights, "weights");
  const int thread_count = resolve_threads(threads);
  without_gil(
      [&] { weighted_mean(format, rows, weight_span, length, target_bytes.data(), thread_count); });
}

}  // namespace

void bind_reduce(py::module_& module) {
  module.def("weighted_mean", &mean_of_updates, py::arg("updates"), py::arg("weights"),
             py::arg("out"), py::arg("format"), py::arg("threads"));
  module.def("scale_weights", [](const py::handle& weights) {
    const ScaledWeights scaled = scale_weights(input<double>(weights, "weights"));
    return std::pair(scaled.weights, scaled.total);
  });
}

}  // namespace veil::bindings
