// A FixedPoint as Python gives it.
#pragma once

#include <pybind11/pybind11.h>

#include "veil/fixed_point.hpp"

namespace veil::bindings {

namespace py = pybind11;

inline FixedPointParameters parameters_of(const py::handle& codec) {
  return {codec.attr("clip").cast<double>(), codec.attr("granularity").cast<double>(),
          codec.attr("ring_bits").cast<unsigned>()};
}

}  // namespace veil::bindings
