// Numbers to ring elements and back: clip, scale by a power of two, round, reduce modulo 2^w.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "veil/floats.hpp"
#include "veil/generator.hpp"

namespace veil {

// v = round(clamp(x, -clip, clip) / granularity), an element of Z/2^ring_bits in two's complement.
struct FixedPointParameters {
  double clip;
  double granularity;  // a power of two from 2^-960 to 2^960, with clip / granularity < 2^51
  unsigned ring_bits;
};

// The encoding of `count` values, by parts in any order and on any thread.
class FixedPointEncoder {
 public:
  // Throws std::invalid_argument if a parameter is out of range, or the granularity is below 2^-94
  // for float32 or bfloat16. With `random`, draws for all values are reserved here.
  FixedPointEncoder(const FixedPointParameters& parameters, FloatFormat format, const void* x,
                    std::size_t count, SecureGenerator* random);

  std::size_t size() const noexcept { return count_; }

  // Encodes values [first, first + count) to words at out; false if one is NaN or infinite.
  bool encode(std::size_t first, std::size_t count, void* out) const;

  // What to throw when some part held a value that is not finite.
  [[noreturn]] static void throw_not_finite();

 private:
  FixedPointParameters parameters_;
  FloatFormat format_;
  const std::uint8_t* x_;
  std::size_t count_;
  std::optional<StreamSlice> stream_;
};

// Encodes `count` values of a format; out holds uint32 words up to 32 ring bits, else uint64.
// With `random`, rounds up with probability equal to the fraction, to within 2^-32; without, to
// nearest with ties to even. Subnormals of float32, float64 and bfloat16 count as zero: no value
// takes longer than another. Same bits for any number of threads. Throws std::domain_error if a
// value is NaN or infinite, std::invalid_argument if a parameter is out of range.
void fixed_point_encode(const FixedPointParameters& parameters, FloatFormat format, const void* x,
                        std::size_t count, SecureGenerator* random, void* out, int threads);

// out[i] = granularity * signed(total[i] mod 2^ring_bits). Throws std::domain_error if a magnitude
// exceeds `most`: the total is then no sum of the stated number of encoded values.
void fixed_point_decode(const FixedPointParameters& parameters,
                        std::span<const std::uint32_t> total, std::uint64_t most,
                        std::span<double> out, int threads);
void fixed_point_decode(const FixedPointParameters& parameters,
                        std::span<const std::uint64_t> total, std::uint64_t most,
                        std::span<double> out, int threads);

}  // namespace veil
