// Keys and cipher names as Python gives them.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>

#include "veil/keystream.hpp"

namespace veil::bindings {

namespace py = pybind11;

inline Cipher cipher_named(const py::handle& object) {
  if (!py::isinstance<py::str>(object)) {
    throw py::type_error(std::string("cipher: expected a string, got an object of type ") +
                         Py_TYPE(object.ptr())->tp_name);
  }
  const auto name = object.cast<std::string>();
  if (name == "aes256-ctr") return Cipher::aes256_ctr;
  if (name == "chacha20") return Cipher::chacha20;
  throw py::value_error("cipher: expected \"aes256-ctr\" or \"chacha20\", got \"" + name + "\"");
}

// A borrowed, contiguous view of a bytes-like object; it holds the buffer, so that a bytearray
// cannot be resized under it.
class ByteView {
 public:
  explicit ByteView(const py::handle& object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  }
  ByteView(const ByteView&) = delete;
  ByteView& operator=(const ByteView&) = delete;
  ~ByteView() { PyBuffer_Release(&view_); }

  std::span<const std::uint8_t> span() const {
    return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_;
};

inline ByteView byte_view(const py::handle& object, const char* name) {
  if (PyObject_CheckBuffer(object.ptr()) == 0) {
    throw py::type_error(std::string(name) + ": expected bytes, got an object of type " +
                         Py_TYPE(object.ptr())->tp_name);
  }
  return ByteView(object);
}

}  // namespace veil::bindings
