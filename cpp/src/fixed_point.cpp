#include "veil/fixed_point.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "kernels/table.hpp"
#include "text.hpp"
#include "veil/cpu.hpp"
#include "veil/parallel.hpp"
#include "veil/secret.hpp"

namespace veil {
namespace {

constexpr std::size_t kBlock = 4096;  // 16 KiB of keystream stay in L1
constexpr std::size_t kChunk = 16 * kBlock;

void check(const FixedPointParameters& parameters) {
  int exponent = 0;
  const bool power_of_two = parameters.granularity >= 0x1p-960 &&
                            parameters.granularity <= 0x1p960 &&
                            std::frexp(parameters.granularity, &exponent) == 0.5;
  if (!power_of_two) {
    throw std::invalid_argument("granularity: expected a power of two from 2^-960 to 2^960, got " +
                                shortest(parameters.granularity));
  }
  const bool in_range = parameters.clip > 0 && parameters.clip / parameters.granularity < 0x1p51;
  if (!in_range) throw std::invalid_argument("clip: expected above 0 and below 2^51 granularities");
  if (parameters.ring_bits < 1 || parameters.ring_bits > 64) {
    throw std::invalid_argument("ring_bits: expected 1 to 64");
  }
}

// Subnormals of float32 and bfloat16 count as zero here: on a lattice this coarse that changes no
// rounding to nearest, and the expectation of stochastic rounding by no more than its own 2^-32.
void check(const FixedPointParameters& parameters, FloatFormat format) {
  check(parameters);
  const bool narrow = format == FloatFormat::kFloat32 || format == FloatFormat::kBFloat16;
  if (narrow && parameters.granularity < 0x1p-94) {
    throw std::invalid_argument(
        "clip, bits: expected a granularity of at least 2^-94 for float32 and bfloat16, whose "
        "values below 2^-126 count as zero, got " +
        shortest(parameters.granularity) + "; rescale the data, or pass float64");
  }
}

template <class Word, class Kernel>
void decode(const FixedPointParameters& parameters, std::span<const Word> total, std::uint64_t most,
            std::span<double> out, int threads, Kernel kernel) {
  check(parameters);
  if (parameters.ring_bits > 8 * sizeof(Word) || out.size() != total.size()) {
    throw std::invalid_argument("total: expected words of the ring, and as many results");
  }
  std::atomic<bool> too_large{false};
  parallel_for((total.size() + kChunk - 1) / kChunk, threads, [&](std::size_t chunk) {
    const std::size_t first = chunk * kChunk;
    const std::size_t count = std::min(kChunk, total.size() - first);
    if (kernel(total.data() + first, count, parameters.granularity, parameters.ring_bits, most,
               out.data() + first) != 0) {
      too_large.store(true, std::memory_order_relaxed);
    }
  });
  if (too_large) {
    throw std::domain_error(
        "total: out of range for the sum of `count` encoded values; the words are corrupt, masks "
        "did not cancel, or more values were added");
  }
}

}  // namespace

FixedPointEncoder::FixedPointEncoder(const FixedPointParameters& parameters, FloatFormat format,
                                     const void* x, std::size_t count, SecureGenerator* random)
    : parameters_(parameters),
      format_(format),
      x_(static_cast<const std::uint8_t*>(x)),
      count_(count) {
  check(parameters, format);
  if (random != nullptr) stream_ = random->reserve(std::uint64_t{4} * count);
}

bool FixedPointEncoder::encode(std::size_t begin, std::size_t count, void* out) const {
  const auto kernel = active_kernels().fixed_point_encode[static_cast<unsigned>(format_)];
  const std::size_t word_bytes = parameters_.ring_bits <= 32 ? 4 : 8;
  auto* words = static_cast<std::uint8_t*>(out);
  alignas(64) std::array<std::uint32_t, kBlock> draws;
  std::uint64_t not_finite = 0;
  for (std::size_t at = 0; at < count; at += kBlock) {
    const std::size_t size = std::min(kBlock, count - at);
    if (stream_) {
      stream_->fill(std::uint64_t{4} * (begin + at),
                    {reinterpret_cast<std::uint8_t*>(draws.data()), 4 * size});
    }
    not_finite |= kernel(x_ + (begin + at) * bytes_of(format_), stream_ ? draws.data() : nullptr,
                         size, 1.0 / parameters_.granularity, parameters_.clip,
                         parameters_.ring_bits, words + at * word_bytes);
  }
  if (stream_) wipe(draws.data(), sizeof draws);
  return not_finite == 0;
}

void FixedPointEncoder::throw_not_finite() {
  throw std::domain_error("x: expected finite values, got NaN or infinity");
}

void fixed_point_encode(const FixedPointParameters& parameters, FloatFormat format, const void* x,
                        std::size_t count, SecureGenerator* random, void* out, int threads) {
  const FixedPointEncoder encoder(parameters, format, x, count, random);
  const std::size_t word_bytes = parameters.ring_bits <= 32 ? 4 : 8;
  auto* words = static_cast<std::uint8_t*>(out);
  std::atomic<bool> not_finite{false};
  parallel_for((count + kChunk - 1) / kChunk, threads, [&](std::size_t chunk) {
    const std::size_t first = chunk * kChunk;
    if (!encoder.encode(first, std::min(kChunk, count - first), words + first * word_bytes)) {
      not_finite.store(true, std::memory_order_relaxed);
    }
  });
  if (not_finite) FixedPointEncoder::throw_not_finite();
}

void fixed_point_decode(const FixedPointParameters& parameters,
                        std::span<const std::uint32_t> total, std::uint64_t most,
                        std::span<double> out, int threads) {
  decode(parameters, total, most, out, threads, active_kernels().decode_sum_u32);
}

void fixed_point_decode(const FixedPointParameters& parameters,
                        std::span<const std::uint64_t> total, std::uint64_t most,
                        std::span<double> out, int threads) {
  decode(parameters, total, most, out, threads, active_kernels().decode_sum_u64);
}

}  // namespace veil
