#include "veil/masked.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "kernels/table.hpp"
#include "veil/pack.hpp"
#include "veil/parallel.hpp"
#include "veil/secret.hpp"

namespace veil {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 16;  // as mask_add's

template <class Word>
auto pack_kernel() {
  if constexpr (sizeof(Word) == 4) {
    return active_kernels().pack_bits_u32;
  } else {
    return active_kernels().pack_bits_u64;
  }
}

// Elements [begin, begin + size) of head and values; false if a value is not finite.
template <class Word>
bool gather(const FixedPointEncoder& encoder, std::span<const Word> head, std::size_t begin,
            std::span<Word> words) {
  const std::size_t given = begin < head.size() ? std::min(head.size() - begin, words.size()) : 0;
  std::copy_n(head.begin() + static_cast<std::ptrdiff_t>(given > 0 ? begin : 0), given,
              words.begin());
  if (given == words.size()) return true;
  return encoder.encode(begin + given - head.size(), words.size() - given, words.data() + given);
}

}  // namespace

template <class Word>
void encode_masked(const FixedPointEncoder& encoder, unsigned ring_bits, std::span<const Word> head,
                   const Masks& masks, std::uint64_t offset, std::span<std::uint8_t> out,
                   int threads) {
  const std::size_t total = head.size() + encoder.size();
  if (offset % 8 != 0) {
    throw std::invalid_argument("offset: expected a multiple of 8, got " + std::to_string(offset));
  }
  if (ring_bits > 8 * sizeof(Word) || out.size() != packed_bytes(total, ring_bits)) {
    throw std::invalid_argument("out: expected words of the ring, packed: " +
                                std::to_string(packed_bytes(total, ring_bits)) + " bytes, got " +
                                std::to_string(out.size()));
  }
  const std::uint64_t first = masks.first_byte<Word>(offset, total);
  constexpr std::size_t kWords = kBlockBytes / sizeof(Word);
  std::atomic<bool> not_finite{false};
  parallel_for((total + kWords - 1) / kWords, threads, [&](std::size_t block) {
    alignas(64) Word words[kWords];
    const std::size_t begin = block * kWords;
    const std::span<Word> part(words, std::min(kWords, total - begin));
    if (!gather(encoder, head, begin, part)) not_finite.store(true, std::memory_order_relaxed);
    masks.add<Word>(0, masks.size(), first + begin * sizeof(Word), part, part);
    // Bits above the ring are dropped here; what is left in the block is as public as `out`.
    pack_kernel<Word>()(words, part.size(), ring_bits, out.data() + begin * ring_bits / 8);
  });
  if (not_finite) FixedPointEncoder::throw_not_finite();
}

template void encode_masked(const FixedPointEncoder&, unsigned, std::span<const std::uint32_t>,
                            const Masks&, std::uint64_t, std::span<std::uint8_t>, int);
template void encode_masked(const FixedPointEncoder&, unsigned, std::span<const std::uint64_t>,
                            const Masks&, std::uint64_t, std::span<std::uint8_t>, int);

}  // namespace veil
