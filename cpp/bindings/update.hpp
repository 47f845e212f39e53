// Updates as arguments, and the faults that their values cause.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <string>

#include "arrays.hpp"
#include "veil/accumulate.hpp"
#include "veil/floats.hpp"

namespace veil::bindings {

[[noreturn]] inline void raise(const char* error_class, const std::exception& error) {
  const py::object type = py::module_::import("veil.errors").attr(error_class);
  PyErr_SetString(type.ptr(), error.what());
  throw py::error_already_set();
}

// Runs a core call without the GIL; the caller's arguments keep every array alive.
template <class F>
auto without_gil(const F& call) {
  try {
    const py::gil_scoped_release released;
    return call();
  } catch (const NotFinite& error) {
    raise("DataError", error);
  } catch (const BoundExceeded& error) {
    raise("BoundExceeded", error);
  }
}

}  // namespace veil::bindings
