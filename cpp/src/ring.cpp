#include "veil/ring.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/table.hpp"
#include "veil/parallel.hpp"
#include "veil/secret.hpp"

namespace veil {
namespace {

constexpr std::size_t kAddChunk = std::size_t{1} << 16;
constexpr std::size_t kMaskBlockBytes = std::size_t{1} << 16;  // fits any L2; long runs of a key
constexpr std::size_t kMaxBlockBytes = 64;                     // of a cipher
// Sharing out keys pays from this much keystream on, and from this many keys for each task.
constexpr std::size_t kLeastSharedBytes = std::size_t{1} << 20;
constexpr std::size_t kLeastKeys = 16;

template <class Word>
auto ring_add_kernel() {
  if constexpr (sizeof(Word) == 4) {
    return active_kernels().ring_add_u32;
  } else {
    return active_kernels().ring_add_u64;
  }
}

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

// The vector cut into blocks that begin at multiples of the ciphers' blocks, so that only its ends
// are not whole ones.
template <class Word>
class Blocks {
 public:
  Blocks(std::uint64_t first_byte, std::size_t size)
      : first_byte_(first_byte),
        size_(size),
        skip_(static_cast<std::size_t>(first_byte % kMaxBlockBytes) / sizeof(Word)) {}

  std::size_t count() const { return (skip_ + size_ + kWords - 1) / kWords; }
  std::uint64_t byte(std::size_t block) const { return first_byte_ + begin(block) * sizeof(Word); }
  template <class Span>
  Span part(std::size_t block, Span whole) const {
    return whole.subspan(begin(block), begin(block + 1) - begin(block));
  }

 private:
  static constexpr std::size_t kWords = kMaskBlockBytes / sizeof(Word);
  std::size_t begin(std::size_t block) const {
    return block == 0 ? 0 : std::min(size_, block * kWords - skip_);
  }

  std::uint64_t first_byte_;
  std::size_t size_;
  std::size_t skip_;
};

// Shares out keys as well as blocks. Each task sums its keystreams from zero and adds the sum to
// the vector under its block's lock; addition in the ring commutes, so their order leaves no trace.
template <class Word>
void add_by_keys(const Masks& masks, const Blocks<Word>& blocks, std::size_t groups,
                 std::span<Word> out, int threads) {
  std::vector<std::mutex> locks(blocks.count());
  parallel_for(blocks.count() * groups, threads, [&](std::size_t task) {
    const std::size_t block = task / groups, group = task % groups;
    const std::span<Word> target = blocks.part(block, out);
    SecretBuffer<Word> sum(target.size());
    masks.add<Word>(masks.size() * group / groups, masks.size() * (group + 1) / groups,
                    blocks.byte(block), sum.span(), sum.span());
    const std::lock_guard guard(locks[block]);
    add_words<Word>(target, sum.span(), target, 1, ring_add_kernel<Word>());
  });
}

// Tasks per block: 1 where blocks alone keep the threads busy, or there is little to do.
std::size_t groups_of_keys(std::size_t blocks, std::size_t keys, std::size_t bytes, int threads) {
  const auto tasks = 2 * static_cast<std::size_t>(std::max(threads, 1));
  if (threads <= 1 || blocks >= tasks || keys * bytes < kLeastSharedBytes) return 1;
  return std::clamp<std::size_t>(keys / kLeastKeys, 1, (tasks + blocks - 1) / blocks);
}

template <class Word>
void mask_add_words(Cipher cipher, std::span<const Word> in, std::span<const std::uint8_t> keys,
                    std::span<const std::int8_t> signs, std::uint64_t offset, std::span<Word> out,
                    int threads) {
  if (in.size() != out.size()) {
    throw std::invalid_argument("out: expected " + std::to_string(in.size()) + " elements, got " +
                                std::to_string(out.size()));
  }
  const Masks masks(cipher, keys, signs);
  const Blocks<Word> blocks(masks.first_byte<Word>(offset, in.size()), in.size());
  if (in.empty()) return;
  const std::size_t groups = groups_of_keys(blocks.count(), masks.size(), in.size_bytes(), threads);
  if (masks.size() == 0 || groups > 1) {
    if (out.data() != in.data()) std::copy(in.begin(), in.end(), out.begin());
  }
  if (groups > 1) return add_by_keys(masks, blocks, groups, out, threads);
  parallel_for(blocks.count(), threads, [&](std::size_t block) {
    masks.add<Word>(0, masks.size(), blocks.byte(block), blocks.part(block, in),
                    blocks.part(block, out));
  });
}

}  // namespace

Masks::Masks(Cipher cipher, std::span<const std::uint8_t> keys, std::span<const std::int8_t> signs)
    : signs_(signs.begin(), signs.end()) {
  if (keys.size() != signs.size() * kKeyBytes) {
    throw std::invalid_argument("signs: expected one for each 32-byte key, got " +
                                std::to_string(signs.size()) + " for " +
                                std::to_string(keys.size()) + " bytes of keys");
  }
  streams_.reserve(signs.size());
  for (std::size_t j = 0; j < signs.size(); ++j) {
    if (signs[j] != 1 && signs[j] != -1) {
      throw std::invalid_argument("signs: expected 1 or -1, got " + std::to_string(signs[j]));
    }
    streams_.emplace_back(cipher, keys.subspan(j * kKeyBytes, kKeyBytes));
  }
}

template <class Word>
std::uint64_t Masks::first_byte(std::uint64_t offset, std::uint64_t size) const {
  if (offset > std::numeric_limits<std::uint64_t>::max() / sizeof(Word)) {
    throw std::overflow_error("offset: expected an element within the streams, got " +
                              std::to_string(offset));
  }
  for (const Keystream& stream : streams_) {
    stream.require_range(offset * sizeof(Word), size * sizeof(Word));
  }
  return offset * sizeof(Word);
}

template <class Word>
void Masks::add(std::size_t first, std::size_t last, std::uint64_t byte, std::span<const Word> in,
                std::span<Word> out) const {
  for (std::size_t j = first; j < last; ++j) {
    streams_[j].mask_add(byte, in, out, signs_[j] < 0);
    in = out;
  }
}

template std::uint64_t Masks::first_byte<std::uint32_t>(std::uint64_t, std::uint64_t) const;
template std::uint64_t Masks::first_byte<std::uint64_t>(std::uint64_t, std::uint64_t) const;
template void Masks::add(std::size_t, std::size_t, std::uint64_t, std::span<const std::uint32_t>,
                         std::span<std::uint32_t>) const;
template void Masks::add(std::size_t, std::size_t, std::uint64_t, std::span<const std::uint64_t>,
                         std::span<std::uint64_t>) const;

void ring_add(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b,
              std::span<std::uint32_t> out, int threads) {
  add_words(a, b, out, threads, ring_add_kernel<std::uint32_t>());
}

void ring_add(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
              std::span<std::uint64_t> out, int threads) {
  add_words(a, b, out, threads, ring_add_kernel<std::uint64_t>());
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
