#include <pybind11/pybind11.h>

#include <string>

#include "arrays.hpp"
#include "codec.hpp"
#include "masks.hpp"
#include "veil/masked.hpp"

namespace veil::bindings {
namespace {

template <class Word>
void encode_masked_into(const py::handle& codec, const py::handle& x,
                        const std::string& format_name, const py::handle& rng,
                        const py::handle& head, const py::handle& keys, const py::handle& signs,
                        const py::handle& offset, const py::handle& cipher, const py::handle& out,
                        const py::object& threads) {
  const FixedPointParameters parameters = parameters_of(codec);
  const FloatFormat format = float_format(format_name);
  const py::array values = require_array(x, "x", dtype_of(format));
  const auto first = input<Word>(head, "head");
  const auto packed = output<std::uint8_t>(out, "out");
  require_no_overlap(bytes_of_array(values), packed, "x", "out", false);
  require_no_overlap(first, packed, "head", "out", false);
  const auto key_bytes = keys_of(sequence_of(keys, "keys"));
  const auto directions = signs_of(sequence_of(signs, "signs"));
  require_size("signs", key_bytes.size() / kKeyBytes, directions.size());
  const Cipher chosen = cipher_named(cipher);
  const auto start = offset.cast<std::uint64_t>();
  SecureGenerator* random = rng.is_none() ? nullptr : rng.cast<SecureGenerator*>();
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  const FixedPointEncoder encoder(parameters, format, values.data(),
                                  static_cast<std::size_t>(values.size()), random);
  const Masks masks(chosen, key_bytes.span(), directions);
  encode_masked<Word>(encoder, parameters.ring_bits, first, masks, start, packed, count);
}

template <class Word>
void bind_for(py::module_& module, const char* name) {
  module.def(name, &encode_masked_into<Word>, py::arg("codec"), py::arg("x"), py::arg("format"),
             py::arg("rng"), py::arg("head"), py::arg("keys"), py::arg("signs"), py::arg("offset"),
             py::arg("cipher"), py::arg("out"), py::arg("threads"));
}

}  // namespace

void bind_masked(py::module_& module) {
  bind_for<std::uint32_t>(module, "encode_masked_u32");
  bind_for<std::uint64_t>(module, "encode_masked_u64");
}

}  // namespace veil::bindings
