// Drives a kernel that turns fixed blocks of random bytes into fixed blocks of values.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "veil/generator.hpp"
#include "veil/parallel.hpp"
#include "veil/secret.hpp"

namespace veil {

// `random_bytes` of stream make `values` values; block i reads bytes [i, i + 1) * random_bytes, so
// a value depends on its index alone, not on chunks, threads or the instruction set.
struct BlockShape {
  std::size_t random_bytes;
  std::size_t values;

  constexpr std::size_t blocks(std::size_t n) const { return n / values + (n % values != 0); }
  constexpr std::uint64_t bytes(std::size_t n) const {
    return std::uint64_t{blocks(n)} * random_bytes;
  }
};

inline constexpr std::size_t kBlockBuffer = 12288;  // with the output it stays in L1
inline constexpr std::size_t kChunkBytes = 32 * kBlockBuffer;

// kernel(random, out, blocks) writes blocks * shape.values values.
template <BlockShape shape, class T, class Kernel>
void fill_range(const StreamSlice& stream, std::size_t first_block, std::span<T> out,
                Kernel kernel) {
  constexpr std::size_t batch = kBlockBuffer / shape.random_bytes;
  alignas(64) std::array<std::uint8_t, batch * shape.random_bytes> random;
  while (!out.empty()) {
    const std::size_t blocks = std::min(batch, shape.blocks(out.size()));
    const auto bytes = std::span(random).first(blocks * shape.random_bytes);
    stream.fill(std::uint64_t{first_block} * shape.random_bytes, bytes);
    const std::size_t whole = std::min(blocks, out.size() / shape.values);
    kernel(random.data(), out.data(), whole);
    out = out.subspan(whole * shape.values);
    if (whole < blocks) {
      std::array<T, shape.values> last;
      kernel(random.data() + whole * shape.random_bytes, last.data(), std::size_t{1});
      std::copy_n(last.begin(), out.size(), out.begin());
      wipe(last.data(), sizeof last);
      break;
    }
    first_block += blocks;
  }
  wipe(random.data(), random.size());
}

template <BlockShape shape, class T, class Kernel>
void fill_blocks(const StreamSlice& stream, std::span<T> out, int threads, Kernel kernel) {
  constexpr std::size_t chunk_blocks = kChunkBytes / shape.random_bytes;
  constexpr std::size_t chunk_values = chunk_blocks * shape.values;
  const std::size_t chunks = out.size() / chunk_values + (out.size() % chunk_values != 0);
  parallel_for(chunks, threads, [&](std::size_t chunk) {
    const std::size_t begin = chunk * chunk_values;
    const auto part = out.subspan(begin, std::min(chunk_values, out.size() - begin));
    fill_range<shape>(stream, chunk * chunk_blocks, part, kernel);
  });
}

}  // namespace veil
