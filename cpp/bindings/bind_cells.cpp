#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>

#include "arrays.hpp"
#include "veil/cells.hpp"

namespace veil::bindings {
namespace {

template <class T>
py::tuple count(const py::handle& values, double low, double high, double scale,
                const py::handle& counts) {
  const auto in = input<T>(values, "values");
  const auto out = output<std::int64_t>(counts, "counts");
  CellCounts outside;
  {
    const py::gil_scoped_release release;
    outside = count_cells(in, low, high, scale, out);
  }
  return py::make_tuple(outside.below, outside.above, outside.not_finite);
}

template <class T>
std::optional<std::uint64_t> count_if(const py::array& values, std::int64_t first,
                                      std::span<std::int64_t> counts) {
  if (!py::isinstance<py::array_t<T>>(values)) return std::nullopt;
  const auto in = input<T>(values, "values");
  const py::gil_scoped_release release;
  return count_integers(in, first, counts);
}

template <class... T>
std::uint64_t count_any(const py::array& values, std::int64_t first,
                        std::span<std::int64_t> counts) {
  std::optional<std::uint64_t> outside;
  ((outside = count_if<T>(values, first, counts)) || ...);
  if (!outside) throw py::type_error("values: expected integers, got " + describe(values));
  return *outside;
}

}  // namespace

void bind_cells(py::module_& module) {
  module.def(
      "count_cells",
      [](const py::handle& values, double low, double high, double scale,
         const py::handle& counts) {
        const bool narrow = py::isinstance<py::array_t<float>>(values);
        return narrow ? count<float>(values, low, high, scale, counts)
                      : count<double>(values, low, high, scale, counts);
      },
      py::arg("values"), py::arg("low"), py::arg("high"), py::arg("scale"), py::arg("counts"));
  module.def(
      "count_integers",
      [](const py::array& values, std::int64_t first, const py::handle& counts) {
        const auto out = output<std::int64_t>(counts, "counts");
        return count_any<std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                         std::uint16_t, std::uint32_t, std::uint64_t>(values, first, out);
      },
      py::arg("values"), py::arg("first"), py::arg("counts"));
}

}  // namespace veil::bindings
