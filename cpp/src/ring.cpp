#include "veil/ring.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/table.hpp"
#include "veil/parallel.hpp"

namespace veil {
namespace {

constexpr std::size_t kAddChunk = std::size_t{1} << 16;
constexpr std::size_t kMaskBlockBytes = std::size_t{1} << 14;  // half of a 32 KiB L1
constexpr std::size_t kMaxBlockBytes = 64;                     // of a cipher

template <class Word, class Kernel>
void add_words(std::span<const Word> a, std::span<const Word> b, std::span<Word> out, int threads,
               Kernel kernel) {
  if (a.size() != b.size() || a.size() != out.size()) {
    throw std::invalid_argument("ring_add: expected a, b and out of one size");
  }
  parallel_for((a.size() + kAddChunk - 1) / kAddChunk, threads, [&](std::size_t chunk) {
    const std::size_t begin = chunk * kAddChunk;
    kernel(a.data() + begin, b.data() + begin, out.data() + begin,
           std::min(kAddChunk, a.size() - begin));
  });
}

std::vector<Keystream> streams_of(Cipher cipher, std::span<const std::uint8_t> keys,
                                  std::span<const std::int8_t> signs) {
  if (keys.size() != signs.size() * kKeyBytes) {
    throw std::invalid_argument("signs: expected one for each 32-byte key, got " +
                                std::to_string(signs.size()) + " for " +
                                std::to_string(keys.size()) + " bytes of keys");
  }
  std::vector<Keystream> streams;
  streams.reserve(signs.size());
  for (std::size_t j = 0; j < signs.size(); ++j) {
    if (signs[j] != 1 && signs[j] != -1) {
      throw std::invalid_argument("signs: expected 1 or -1, got " + std::to_string(signs[j]));
    }
    streams.emplace_back(cipher, keys.subspan(j * kKeyBytes, kKeyBytes));
  }
  return streams;
}

template <class Word>
std::uint64_t first_byte(const std::vector<Keystream>& streams, std::uint64_t offset,
                         std::size_t size) {
  if (offset > std::numeric_limits<std::uint64_t>::max() / sizeof(Word)) {
    throw std::overflow_error("offset: expected an element within the streams, got " +
                              std::to_string(offset));
  }
  for (const Keystream& stream : streams) {
    stream.require_range(offset * sizeof(Word), std::uint64_t{size} * sizeof(Word));
  }
  return offset * sizeof(Word);
}

template <class Word>
void mask_add_words(Cipher cipher, std::span<const Word> in, std::span<const std::uint8_t> keys,
                    std::span<const std::int8_t> signs, std::uint64_t offset, std::span<Word> out,
                    int threads) {
  if (in.size() != out.size()) {
    throw std::invalid_argument("out: expected " + std::to_string(in.size()) + " elements, got " +
                                std::to_string(out.size()));
  }
  const std::vector<Keystream> streams = streams_of(cipher, keys, signs);
  const std::uint64_t first = first_byte<Word>(streams, offset, in.size());
  if (streams.empty()) {
    if (out.data() != in.data()) std::copy(in.begin(), in.end(), out.begin());
    return;
  }
  // Blocks begin at multiples of the ciphers' blocks, so only the vector's ends are cut.
  constexpr std::size_t kWords = kMaskBlockBytes / sizeof(Word);
  const auto skip = static_cast<std::size_t>(first % kMaxBlockBytes) / sizeof(Word);
  const std::size_t blocks = in.empty() ? 0 : (skip + in.size() + kWords - 1) / kWords;
  parallel_for(blocks, threads, [&](std::size_t block) {
    const std::size_t begin = block == 0 ? 0 : block * kWords - skip;
    const std::size_t end = std::min(in.size(), (block + 1) * kWords - skip);
    const auto target = out.subspan(begin, end - begin);
    std::span<const Word> source = in.subspan(begin, end - begin);
    for (std::size_t j = 0; j < streams.size(); ++j) {
      streams[j].mask_add(first + begin * sizeof(Word), source, target, signs[j] < 0);
      source = target;
    }
  });
}

}  // namespace

void ring_add(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b,
              std::span<std::uint32_t> out, int threads) {
  add_words(a, b, out, threads, active_kernels().ring_add_u32);
}

void ring_add(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
              std::span<std::uint64_t> out, int threads) {
  add_words(a, b, out, threads, active_kernels().ring_add_u64);
}

void mask_add(Cipher cipher, std::span<const std::uint32_t> in, std::span<const std::uint8_t> keys,
              std::span<const std::int8_t> signs, std::uint64_t offset,
              std::span<std::uint32_t> out, int threads) {
  mask_add_words(cipher, in, keys, signs, offset, out, threads);
}

void mask_add(Cipher cipher, std::span<const std::uint64_t> in, std::span<const std::uint8_t> keys,
              std::span<const std::int8_t> signs, std::uint64_t offset,
              std::span<std::uint64_t> out, int threads) {
  mask_add_words(cipher, in, keys, signs, offset, out, threads);
}

}  // namespace veil
