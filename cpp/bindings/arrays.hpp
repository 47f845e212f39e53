// The only file that knows NumPy's C side: checked views of arguments, no copies, no casts.
// Wrong dtype: TypeError. Wrong shape, layout or value: ValueError. Both name the argument, what
// was expected and what came.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "veil/floats.hpp"
#include "veil/parallel.hpp"

namespace veil::bindings {

namespace py = pybind11;

inline std::string describe(const py::handle& object) {
  if (!py::isinstance<py::array>(object)) {
    return std::string("an object of type ") + Py_TYPE(object.ptr())->tp_name;
  }
  const auto array = py::reinterpret_borrow<py::array>(object);
  return "an array of " + py::str(array.dtype()).cast<std::string>() + ", shape " +
         py::str(object.attr("shape")).cast<std::string>();
}

// An ndarray of that dtype in native byte order, C-contiguous and aligned; never a converted copy.
inline py::array require_array(const py::handle& object, const char* name, const py::dtype& dtype) {
  const auto expected = [&dtype] { return py::str(dtype).cast<std::string>(); };
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(std::string(name) + ": expected a NumPy array of " + expected() +
                         ", got " + describe(object));
  }
  auto array = py::reinterpret_borrow<py::array>(object);
  // Equivalence, not identity: `l` and `q` are both int64, and a swapped byte order is neither.
  if (!py::detail::npy_api::get().PyArray_EquivTypes_(array.dtype().ptr(), dtype.ptr())) {
    throw py::type_error(std::string(name) + ": expected dtype " + expected() + ", got " +
                         describe(object));
  }
  constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((array.flags() & py::array::c_style) == 0 || (array.flags() & kAligned) == 0) {
    throw py::value_error(std::string(name) +
                          ": expected a C-contiguous, aligned array, got another layout; pass "
                          "numpy.ascontiguousarray(" +
                          name + ")");
  }
  return array;
}

template <class T>
py::array require_array(const py::handle& object, const char* name) {
  return require_array(object, name, py::dtype::of<T>());
}

inline void require_writable(const py::array& array, const char* name) {
  if (array.writeable()) return;
  throw py::value_error(std::string(name) + ": expected a writable array, got a read-only one");
}

template <class T>
std::span<const T> input(const py::handle& object, const char* name) {
  const py::array array = require_array<T>(object, name);
  return {static_cast<const T*>(array.data()), static_cast<std::size_t>(array.size())};
}

template <class T>
std::span<T> output(const py::handle& object, const char* name) {
  py::array array = require_array<T>(object, name);
  require_writable(array, name);
  return {static_cast<T*>(array.mutable_data()), static_cast<std::size_t>(array.size())};
}

inline void require_size(const char* name, std::size_t expected, std::size_t got) {
  if (expected == got) return;
  throw py::value_error(std::string(name) + ": expected " + std::to_string(expected) +
                        " elements, got " + std::to_string(got));
}

// Refuses an output that shares memory with an input, unless they are the very same bytes and the
// operation may run in place.
template <class A, class B>
void require_no_overlap(std::span<const A> in, std::span<B> out, const char* in_name,
                        const char* out_name, bool in_place_allowed) {
  const auto* in_begin = reinterpret_cast<const std::uint8_t*>(in.data());
  const auto* out_begin = reinterpret_cast<const std::uint8_t*>(out.data());
  const bool apart = in.empty() || out.empty() || in_begin + in.size_bytes() <= out_begin ||
                     out_begin + out.size_bytes() <= in_begin;
  if (apart) return;
  const bool same = in_begin == out_begin && in.size_bytes() == out.size_bytes();
  if (same && in_place_allowed) return;
  throw py::value_error(std::string(out_name) + ": expected memory apart from `" + in_name +
                        (in_place_allowed ? "` or the same array, got a partial overlap"
                                          : "`, got overlapping memory"));
}

// A view of one update: bfloat16 comes as its uint16 bits, so the format is named by the caller.
inline FloatFormat float_format(const std::string& name) {
  if (name == "float32") return FloatFormat::kFloat32;
  if (name == "float64") return FloatFormat::kFloat64;
  if (name == "float16") return FloatFormat::kFloat16;
  if (name == "bfloat16") return FloatFormat::kBFloat16;
  throw py::type_error("expected float32, float64, float16 or bfloat16, got " + name);
}

inline py::dtype dtype_of(FloatFormat format) {
  switch (format) {
    case FloatFormat::kFloat32:
      return py::dtype::of<float>();
    case FloatFormat::kFloat64:
      return py::dtype::of<double>();
    case FloatFormat::kFloat16:
      return py::dtype("e");
    case FloatFormat::kBFloat16:
      return py::dtype::of<std::uint16_t>();
  }
  throw std::logic_error("dtype_of: unknown format");
}

inline std::span<const std::uint8_t> bytes_of_array(const py::array& array) {
  return {static_cast<const std::uint8_t*>(array.data()), static_cast<std::size_t>(array.nbytes())};
}

// NumPy's own booleans passed for integers before its release 2.3.
inline bool is_boolean(const py::handle& object) {
  const std::string_view type = Py_TYPE(object.ptr())->tp_name;
  return PyBool_Check(object.ptr()) != 0 || type == "numpy.bool" || type == "numpy.bool_";
}

// A whole number, Python's or NumPy's, clipped to the range of the result; a bool is none.
inline long long whole_number(const py::handle& object, const std::string& name,
                              const std::string& expected) {
  const auto refused = [&] {
    return py::type_error(name + ": expected " + expected + ", got " + describe(object));
  };
  if (PyIndex_Check(object.ptr()) == 0 || is_boolean(object)) throw refused();
  const Py_ssize_t value = PyNumber_AsSsize_t(object.ptr(), nullptr);
  if (value == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    throw refused();
  }
  return value;
}

// `threads=None` means default_threads(). Taken as an object, like every argument of a binding:
// pybind11's own error for a mismatch prints all arguments, and one of them may be a key.
inline int resolve_threads(const py::object& threads) {
  if (threads.is_none()) return default_threads();
  const long long count = whole_number(threads, "threads", "None or an int");
  if (count < 1 || count > (1 << 16)) {
    throw py::value_error("threads: expected None or 1 to 65536, got " + std::to_string(count));
  }
  return static_cast<int>(count);
}

}  // namespace veil::bindings
