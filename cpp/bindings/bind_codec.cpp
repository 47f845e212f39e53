#include <pybind11/pybind11.h>

#include <string>

#include "arrays.hpp"
#include "codec.hpp"
#include "veil/fixed_point.hpp"
#include "veil/pack.hpp"

namespace veil::bindings {
namespace {

unsigned bits_of(const py::handle& object) {
  const long long value = whole_number(object, "bits", "an int");
  if (value < 1 || value > 64) {
    throw py::value_error("bits: expected 1 to 64, got " + std::to_string(value));
  }
  return static_cast<unsigned>(value);
}

template <class Word>
void pack(const py::handle& values, const py::handle& bits, const py::handle& out) {
  const auto words = input<Word>(values, "values");
  const auto packed = output<std::uint8_t>(out, "out");
  require_no_overlap(words, packed, "values", "out", false);
  const unsigned width = bits_of(bits);
  const py::gil_scoped_release release;
  pack_bits(words, width, packed);
}

template <class Word>
void unpack(const py::handle& packed, const py::handle& bits, const py::handle& out) {
  const auto bytes = input<std::uint8_t>(packed, "packed");
  const auto words = output<Word>(out, "out");
  require_no_overlap(bytes, words, "packed", "out", false);
  const unsigned width = bits_of(bits);
  const py::gil_scoped_release release;
  unpack_bits(bytes, width, words);
}

template <class Word>
void encode(const py::handle& codec, const py::handle& x, const std::string& format_name,
            const py::handle& rng, const py::handle& out, const py::object& threads) {
  const FixedPointParameters parameters = parameters_of(codec);
  const FloatFormat format = float_format(format_name);
  const py::array values = require_array(x, "x", dtype_of(format));
  const auto words = output<Word>(out, "out");
  require_size("out", static_cast<std::size_t>(values.size()), words.size());
  require_no_overlap(bytes_of_array(values), words, "x", "out", false);
  SecureGenerator* random = rng.is_none() ? nullptr : rng.cast<SecureGenerator*>();
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  fixed_point_encode(parameters, format, values.data(), words.size(), random, words.data(), count);
}

template <class Word>
void decode(const py::handle& codec, const py::handle& total, const py::handle& most,
            const py::handle& out, const py::object& threads) {
  const FixedPointParameters parameters = parameters_of(codec);
  const auto words = input<Word>(total, "total");
  const auto numbers = output<double>(out, "out");
  require_no_overlap(words, numbers, "total", "out", false);
  const auto limit = most.cast<std::uint64_t>();
  const int count = resolve_threads(threads);
  const py::gil_scoped_release release;
  fixed_point_decode(parameters, words, limit, numbers, count);
}

template <class Word>
void bind_for(py::module_& module, const std::string& suffix) {
  module.def(("pack_bits_" + suffix).c_str(), &pack<Word>, py::arg("values"), py::arg("bits"),
             py::arg("out"));
  module.def(("unpack_bits_" + suffix).c_str(), &unpack<Word>, py::arg("packed"), py::arg("bits"),
             py::arg("out"));
  module.def(("fixed_point_encode_" + suffix).c_str(), &encode<Word>, py::arg("codec"),
             py::arg("x"), py::arg("format"), py::arg("rng"), py::arg("out"), py::arg("threads"));
  module.def(("fixed_point_decode_" + suffix).c_str(), &decode<Word>, py::arg("codec"),
             py::arg("total"), py::arg("most"), py::arg("out"), py::arg("threads"));
}

}  // namespace

void bind_codec(py::module_& module) {
  bind_for<std::uint32_t>(module, "u32");
  bind_for<std::uint64_t>(module, "u64");
}

}  // namespace veil::bindings
