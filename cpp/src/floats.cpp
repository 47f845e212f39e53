#include "veil/floats.hpp"

#include <cstdint>
#include <cstring>

namespace veil {
namespace {

// First element whose exponent is all ones, or `length`.
template <class Word>
std::size_t first_with(Word exponent, const void* words, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) {
    Word word;
    std::memcpy(&word, static_cast<const Word*>(words) + i, sizeof word);
    if ((word & exponent) == exponent) return i;
  }
  return length;
}

std::size_t first_not_finite(FloatFormat format, const void* words, std::size_t length) {
  switch (format) {
    case FloatFormat::kFloat32:
      return first_with<std::uint32_t>(0x7f800000, words, length);
    case FloatFormat::kFloat64:
      return first_with<std::uint64_t>(0x7ff0000000000000, words, length);
    case FloatFormat::kFloat16:
      return first_with<std::uint16_t>(0x7c00, words, length);
    case FloatFormat::kBFloat16:
      return first_with<std::uint16_t>(0x7f80, words, length);
  }
  throw std::logic_error("first_not_finite: unknown format");
}

}  // namespace

void require_finite(FloatFormat format, const void* words, std::size_t length,
                    const std::string& name) {
  const std::size_t element = first_not_finite(format, words, length);
  if (element == length) return;
  throw NotFinite(name + ": expected finite values, got infinity or NaN at element " +
                  std::to_string(element));
}

}  // namespace veil
