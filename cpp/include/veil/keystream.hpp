// Keystreams: AES-256-CTR (FIPS 197, SP 800-38A) and ChaCha20 (RFC 8439), random access by byte.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "veil/cpu.hpp"
#include "veil/secret.hpp"

namespace veil {

struct StreamKernels;

enum class Cipher : std::uint8_t { aes256_ctr, chacha20 };

inline constexpr std::size_t kKeyBytes = 32;
inline constexpr std::size_t kNonceBytes = 16;

// One key's keystream. `nonce` is the first counter block, zero-padded to 16 bytes.
// - AES-256-CTR: block i is AES(nonce + i), a 128-bit big-endian sum. The stream ends before that
//   sum wraps, and after 2^48 blocks: there its distance from random is below 2^-33 (birthday).
// - ChaCha20: bytes 0-3 of `nonce` are the first 32-bit block counter, little-endian; bytes 4-15
//   are RFC 8439's nonce. The stream ends before the counter wraps.
// All const members may run on many threads at once. Same bits on every instruction set.
class Keystream {
 public:
  // Throws std::invalid_argument if the key is not 32 bytes or the nonce longer than 16.
  Keystream(Cipher cipher, std::span<const std::uint8_t> key,
            std::span<const std::uint8_t> nonce = {},
            const KernelTable& kernels = active_kernels());

  // Length of the stream in bytes: every byte below it can be read, none at or above.
  std::uint64_t capacity() const noexcept { return blocks_ * block_bytes_; }

  // out = bytes [byte_offset, byte_offset + out.size()) of the stream. Throws std::overflow_error
  // past the last block. `threads` changes the speed, never the bits.
  void fill(std::uint64_t byte_offset, std::span<std::uint8_t> out, int threads = 1) const;

  // out = in + stream words from byte_offset (a multiple of the word size) in Z/2^32 or Z/2^64, or
  // in - words when `negate`; words are little-endian. `out` is `in` or apart from it, of the same
  // size. The keystream never reaches memory but for the ends of the range.
  void mask_add(std::uint64_t byte_offset, std::span<const std::uint32_t> in,
                std::span<std::uint32_t> out, bool negate) const;
  void mask_add(std::uint64_t byte_offset, std::span<const std::uint64_t> in,
                std::span<std::uint64_t> out, bool negate) const;

  // Throws std::overflow_error unless `bytes` bytes from byte_offset are in the stream.
  void require_range(std::uint64_t byte_offset, std::uint64_t bytes) const;

 private:
  template <class Whole, class Part>
  void walk(std::uint64_t byte_offset, std::size_t bytes, Whole whole, Part part) const;
  template <class Word, class Kernel>
  void mask_add_words(std::uint64_t byte_offset, std::span<const Word> in, std::span<Word> out,
                      bool negate, Kernel kernel) const;

  const StreamKernels* kernels_;
  std::uint64_t block_bytes_;
  std::uint64_t high_ = 0;
  std::uint64_t low_ = 0;
  std::uint64_t blocks_ = 0;
  SecretBuffer<std::uint8_t> schedule_;
};

// A read position that hands disjoint ranges of a keystream to concurrent readers.
class KeystreamPosition {
 public:
  explicit KeystreamPosition(const Keystream& stream) : stream_(&stream) {}

  // The offset of the next `bytes` bytes, which are then taken. Throws std::overflow_error past the
  // last block; the position is then unchanged.
  std::uint64_t take(std::uint64_t bytes);
  // Throws std::overflow_error beyond the end; the end itself is allowed, and no byte follows it.
  void seek(std::uint64_t byte_offset);
  std::uint64_t tell() const noexcept { return position_.load(); }

 private:
  const Keystream* stream_;
  std::atomic<std::uint64_t> position_{0};
};

}  // namespace veil
