#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "ciphers.hpp"
#include "veil/ring.hpp"
#include "veil/secret.hpp"

namespace veil::bindings {
namespace {

template <class Word>
void add(const py::handle& a, const py::handle& b, const py::handle& out,
         const py::object& threads) {
  const auto left = input<Word>(a, "a");
  const auto right = input<Word>(b, "b");
  const auto target = output<Word>(out, "out");
  require_size("b", left.size(), right.size());
  require_size("out", left.size(), target.size());
  require_no_overlap(left, target, "a", "out", true);
  require_no_overlap(right, target, "b", "out", true);
  const int count = resolve_threads(threads);
  const py::gil_scoped_release released;
  ring_add(left, right, target, count);
}

// The keys, one after the other. Errors name the place of a key, never its bytes.
SecretBuffer<std::uint8_t> keys_of(const py::sequence& keys) {
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

bool is_sign(const py::handle& object) {
  const Py_ssize_t value = PyNumber_AsSsize_t(object.ptr(), nullptr);  // clipped, not refused
  if (value == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return false;
  }
  return value == 1 || value == -1;
}

std::vector<std::int8_t> signs_of(const py::sequence& signs) {
  std::vector<std::int8_t> all(signs.size());
  for (std::size_t j = 0; j < all.size(); ++j) {
    const py::object object = signs[j];
    if (!is_sign(object)) {
      throw py::value_error("signs[" + std::to_string(j) + "]: expected 1 or -1, got " +
                            py::repr(object).cast<std::string>());
    }
    all[j] = object.cast<std::int8_t>();
  }
  return all;
}

py::sequence sequence_of(const py::handle& object, const char* name) {
  if (PySequence_Check(object.ptr()) == 0 || py::isinstance<py::bytes>(object) ||
      py::isinstance<py::bytearray>(object) || py::isinstance<py::str>(object)) {
    throw py::type_error(std::string(name) + ": expected a list or tuple, got an object of type " +
                         Py_TYPE(object.ptr())->tp_name);
  }
  return py::reinterpret_borrow<py::sequence>(object);
}

template <class Word>
void add_masks(const py::handle& vector, const py::handle& keys, const py::handle& signs,
               const py::handle& offset, const py::handle& cipher, const py::handle& out,
               const py::object& threads) {
  const auto source = input<Word>(vector, "vector");
  const auto target = output<Word>(out, "out");
  require_size("out", source.size(), target.size());
  require_no_overlap(source, target, "vector", "out", true);
  const auto key_bytes = keys_of(sequence_of(keys, "keys"));
  const auto directions = signs_of(sequence_of(signs, "signs"));
  require_size("signs", key_bytes.size() / kKeyBytes, directions.size());
  const Cipher chosen = cipher_named(cipher);
  const auto first = offset.cast<std::uint64_t>();
  const int count = resolve_threads(threads);
  const py::gil_scoped_release released;
  mask_add(chosen, source, key_bytes.span(), directions, first, target, count);
}

}  // namespace

void bind_ring(py::module_& module) {
  module.def("ring_add_u32", &add<std::uint32_t>, py::arg("a"), py::arg("b"), py::arg("out"),
             py::arg("threads"));
  module.def("ring_add_u64", &add<std::uint64_t>, py::arg("a"), py::arg("b"), py::arg("out"),
             py::arg("threads"));
  module.def("mask_add_u32", &add_masks<std::uint32_t>, py::arg("vector"), py::arg("keys"),
             py::arg("signs"), py::arg("offset"), py::arg("cipher"), py::arg("out"),
             py::arg("threads"));
  module.def("mask_add_u64", &add_masks<std::uint64_t>, py::arg("vector"), py::arg("keys"),
             py::arg("signs"), py::arg("offset"), py::arg("cipher"), py::arg("out"),
             py::arg("threads"));
}

}  // namespace veil::bindings
