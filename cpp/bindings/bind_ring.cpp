#include <pybind11/pybind11.h>

#include "arrays.hpp"
#include "masks.hpp"
#include "veil/ring.hpp"

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
