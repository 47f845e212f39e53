// The float formats of updates; bfloat16 travels as its uint16 bits.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace veil {

enum class FloatFormat : unsigned { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 3 };

constexpr std::size_t bytes_of(FloatFormat format) {
  if (format == FloatFormat::kFloat32) return 4;
  return format == FloatFormat::kFloat64 ? 8 : 2;
}

// A vector holds an infinity or a NaN.
class NotFinite : public std::domain_error {
 public:
  using std::domain_error::domain_error;
};

// Throws NotFinite, naming the vector and the first element, unless all words are finite.
void require_finite(FloatFormat format, const void* words, std::size_t length,
                    const std::string& name);

}  // namespace veil
