// The float formats of updates; bfloat16 travels as its uint16 bits.
#pragma once

#include <cstddef>

namespace veil {

enum class FloatFormat : unsigned { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 3 };

constexpr std::size_t bytes_of(FloatFormat format) {
  if (format == FloatFormat::kFloat32) return 4;
  return format == FloatFormat::kFloat64 ? 8 : 2;
}

}  // namespace veil
