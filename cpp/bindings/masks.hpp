// Mask keys and their signs as Python gives them.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "ciphers.hpp"
#include "veil/secret.hpp"

namespace veil::bindings {

// The keys, one after the other. Errors name the place of a key, never its bytes.
inline SecretBuffer<std::uint8_t> keys_of(const py::sequence& keys) {
  const std::size_t count = keys.size();
  SecretBuffer<std::uint8_t> all(count * kKeyBytes);
  for (std::size_t j = 0; j < count; ++j) {
    const std::string name = "keys[" + std::to_string(j) + "]";
    const py::object object = keys[j];
    const ByteView key = byte_view(object, name.c_str());
    if (key.span().size() != kKeyBytes) {
      throw py::value_error(name + ": expected 32 bytes, got " + std::to_string(key.span().size()));
    }
    std::copy(key.span().begin(), key.span().end(), all.data() + j * kKeyBytes);
  }
  return all;
}

inline bool is_sign(const py::handle& object) {
  if (is_boolean(object)) return false;
  const Py_ssize_t value = PyNumber_AsSsize_t(object.ptr(), nullptr);  // clipped, not refused
  if (value == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return false;
  }
  return value == 1 || value == -1;
}

inline std::vector<std::int8_t> signs_of(const py::sequence& signs) {
  std::vector<std::int8_t> all(signs.size());
  for (std::size_t j = 0; j < all.size(); ++j) {
    const py::object object = signs[j];
    if (!is_sign(object)) {
      throw py::value_error("signs[" + std::to_string(j) + "]: expected 1 or -1, got " +
                            py::repr(object).cast<std::string>());
    }
    all[j] = static_cast<std::int8_t>(PyNumber_AsSsize_t(object.ptr(), nullptr));
  }
  return all;
}

inline py::sequence sequence_of(const py::handle& object, const char* name) {
  if (PySequence_Check(object.ptr()) == 0 || py::isinstance<py::bytes>(object) ||
      py::isinstance<py::bytearray>(object) || py::isinstance<py::str>(object)) {
    throw py::type_error(std::string(name) + ": expected a list or tuple, got an object of type " +
                         Py_TYPE(object.ptr())->tp_name);
  }
  return py::reinterpret_borrow<py::sequence>(object);
}

}  // namespace veil::bindings
