#include "veil/keystream.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <stdexcept>
#include <string>

#include "kernels/table.hpp"
#include "veil/parallel.hpp"

namespace veil {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as the machine's own");

constexpr std::uint64_t kAesBlockLimit = std::uint64_t{1} << 48;
constexpr std::uint64_t kChachaBlockLimit = std::uint64_t{1} << 32;
constexpr std::size_t kMaxBlockBytes = 64;
constexpr std::size_t kFillChunk = std::size_t{1} << 18;

using Nonce = std::array<std::uint8_t, kNonceBytes>;

Nonce padded(std::span<const std::uint8_t> nonce) {
  if (nonce.size() > kNonceBytes) {
    throw std::invalid_argument("nonce: expected at most 16 bytes, got " +
                                std::to_string(nonce.size()));
  }
  Nonce block{};
  std::copy(nonce.begin(), nonce.end(), block.begin());
  return block;
}

std::uint64_t big_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = (value << 8) | bytes[i];
  return value;
}

std::uint64_t little_endian_32(const std::uint8_t* bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Blocks from the counter (high, low) to 2^128, at most the limit.
std::uint64_t aes_blocks(std::uint64_t high, std::uint64_t low) {
  if (high != ~std::uint64_t{0} || low == 0) return kAesBlockLimit;
  return std::min(kAesBlockLimit, ~low + 1);
}

}  // namespace

Keystream::Keystream(Cipher cipher, std::span<const std::uint8_t> key,
                     std::span<const std::uint8_t> nonce, const KernelTable& kernels)
    : kernels_(cipher == Cipher::aes256_ctr ? &kernels.aes256_ctr : &kernels.chacha20),
      block_bytes_(cipher == Cipher::aes256_ctr ? 16 : 64),
      schedule_(kScheduleBytes) {
  if (key.size() != kKeyBytes) {
    throw std::invalid_argument("key: expected 32 bytes, got " + std::to_string(key.size()));
  }
  const Nonce block = padded(nonce);
  if (cipher == Cipher::aes256_ctr) {
    high_ = big_endian(block.data());
    low_ = big_endian(block.data() + 8);
    blocks_ = aes_blocks(high_, low_);
  } else {
    low_ = little_endian_32(block.data());
    blocks_ = kChachaBlockLimit - low_;
  }
  kernels_->expand(key.data(), block.data(), schedule_.data());
}

void Keystream::require_range(std::uint64_t byte_offset, std::uint64_t bytes) const {
  const std::uint64_t end = capacity();
  if (byte_offset <= end && bytes <= end - byte_offset) return;
  throw std::overflow_error("keystream: expected a range within its " + std::to_string(end) +
                            " bytes, got " + std::to_string(bytes) + " from byte " +
                            std::to_string(byte_offset) + "; use a new key");
}

// Cuts a range into whole blocks, given to whole(high, low, at, blocks), and at most two parts of
// blocks, given as bytes to part(keystream, at); `at` is the place in the range.
template <class Whole, class Part>
void Keystream::walk(std::uint64_t byte_offset, std::size_t bytes, Whole whole, Part part) const {
  require_range(byte_offset, bytes);
  const auto block_bytes = static_cast<std::size_t>(block_bytes_);
  std::uint64_t block = byte_offset / block_bytes;
  std::size_t skip = static_cast<std::size_t>(byte_offset % block_bytes);
  std::size_t at = 0;
  while (at < bytes) {
    const std::uint64_t low = low_ + block;
    const std::uint64_t high = high_ + (low < low_ ? 1 : 0);
    if (skip == 0 && bytes - at >= block_bytes) {
      // Kernels carry nothing into the high half: stop where the low half wraps.
      const std::uint64_t to_carry = low == 0 ? ~std::uint64_t{0} : ~low + 1;
      const std::uint64_t count = std::min<std::uint64_t>((bytes - at) / block_bytes, to_carry);
      whole(high, low, at, static_cast<std::size_t>(count));
      block += count;
      at += static_cast<std::size_t>(count) * block_bytes;
      continue;
    }
    std::array<std::uint8_t, kMaxBlockBytes> scratch;
    kernels_->fill(schedule_.data(), high, low, scratch.data(), 1);
    const std::size_t length = std::min(block_bytes - skip, bytes - at);
    part(std::span(scratch).subspan(skip, length), at);
    wipe(scratch.data(), scratch.size());
    ++block;
    at += length;
    skip = 0;
  }
}

void Keystream::fill(std::uint64_t byte_offset, std::span<std::uint8_t> out, int threads) const {
  require_range(byte_offset, out.size());
  const auto fill_chunk = [&](std::size_t chunk) {
    const std::size_t begin = chunk * kFillChunk;
    const auto piece = out.subspan(begin, std::min(kFillChunk, out.size() - begin));
    walk(
        byte_offset + begin, piece.size(),
        [&](std::uint64_t high, std::uint64_t low, std::size_t at, std::size_t blocks) {
          kernels_->fill(schedule_.data(), high, low, piece.data() + at, blocks);
        },
        [&](std::span<const std::uint8_t> keystream, std::size_t at) {
          std::memcpy(piece.data() + at, keystream.data(), keystream.size());
        });
  };
  parallel_for((out.size() + kFillChunk - 1) / kFillChunk, threads, fill_chunk);
}

template <class Word, class Kernel>
void Keystream::mask_add_words(std::uint64_t byte_offset, std::span<const Word> in,
                               std::span<Word> out, bool negate, Kernel kernel) const {
  if (byte_offset % sizeof(Word) != 0 || in.size() != out.size()) {
    throw std::invalid_argument("mask_add: expected whole words and out as long as in");
  }
  const auto* source = reinterpret_cast<const std::uint8_t*>(in.data());
  auto* target = reinterpret_cast<std::uint8_t*>(out.data());
  walk(
      byte_offset, in.size_bytes(),
      [&](std::uint64_t high, std::uint64_t low, std::size_t at, std::size_t blocks) {
        kernel(schedule_.data(), high, low, source + at, target + at, blocks, negate ? 1U : 0U);
      },
      [&](std::span<const std::uint8_t> keystream, std::size_t at) {
        for (std::size_t i = 0; i < keystream.size(); i += sizeof(Word)) {
          Word word = 0;
          std::memcpy(&word, keystream.data() + i, sizeof word);
          const std::size_t element = (at + i) / sizeof(Word);
          out[element] = negate ? in[element] - word : in[element] + word;
        }
      });
}

void Keystream::mask_add(std::uint64_t byte_offset, std::span<const std::uint32_t> in,
                         std::span<std::uint32_t> out, bool negate) const {
  mask_add_words(byte_offset, in, out, negate, kernels_->mask_add_u32);
}

void Keystream::mask_add(std::uint64_t byte_offset, std::span<const std::uint64_t> in,
                         std::span<std::uint64_t> out, bool negate) const {
  mask_add_words(byte_offset, in, out, negate, kernels_->mask_add_u64);
}

std::uint64_t KeystreamPosition::take(std::uint64_t bytes) {
  std::uint64_t offset = position_.load();
  do {
    stream_->require_range(offset, bytes);
  } while (!position_.compare_exchange_weak(offset, offset + bytes));
  return offset;
}

void KeystreamPosition::seek(std::uint64_t byte_offset) {
  stream_->require_range(byte_offset, 0);
  position_.store(byte_offset);
}

}  // namespace veil
