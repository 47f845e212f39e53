#include "veil/discrete.hpp"

#include <array>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "blocks.hpp"
#include "kernels/table.hpp"

namespace veil {
namespace {

constexpr BlockShape kIntegers{16, 1};
constexpr BlockShape kBernoulli{64, 8};

}  // namespace

void integers(SecureGenerator& generator, std::span<std::uint64_t> out, std::uint64_t high,
              int threads, const KernelTable& kernels) {
  if (high == 0) throw std::invalid_argument("high: expected at least 1, got 0");
  const StreamSlice stream = generator.reserve(kIntegers.bytes(out.size()));
  fill_blocks<kIntegers>(
      stream, out, threads,
      [&](const std::uint8_t* random, std::uint64_t* values, std::size_t blocks) {
        kernels.integers_u64(random, values, blocks, high);
      });
}

void bernoulli(SecureGenerator& generator, std::span<std::uint8_t> out, std::uint64_t threshold,
               int threads, const KernelTable& kernels) {
  const StreamSlice stream = generator.reserve(kBernoulli.bytes(out.size()));
  fill_blocks<kBernoulli>(
      stream, out, threads,
      [&](const std::uint8_t* random, std::uint8_t* values, std::size_t blocks) {
        kernels.bernoulli_u8(random, values, blocks, threshold);
      });
}

void permutation(SecureGenerator& generator, std::span<std::uint64_t> out,
                 const KernelTable& kernels) {
  std::iota(out.begin(), out.end(), std::uint64_t{0});
  const StreamSlice stream = generator.reserve(kIntegers.bytes(out.size()));
  constexpr std::size_t batch = kBlockBuffer / kIntegers.random_bytes;
  SecretBuffer<std::uint8_t> random(batch * kIntegers.random_bytes);
  for (std::size_t end = out.size(), used = 0; end > 1;) {
    const std::size_t steps = std::min(batch, end - 1);
    stream.fill(kIntegers.bytes(used), random.span().first(kIntegers.bytes(steps)));
    for (std::size_t i = 0; i < steps; ++i, --end) {
      std::uint64_t other = 0;
      kernels.integers_u64(random.data() + kIntegers.bytes(i), &other, 1, end);
      std::swap(out[end - 1], out[other]);
    }
    used += steps;
  }
}

}  // namespace veil
