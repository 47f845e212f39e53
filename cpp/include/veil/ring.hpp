// Vectors over Z/2^32 and Z/2^64: sums, and sums with keystreams (the masks of secure aggregation,
// Bonawitz et al. 2017, eprint 2017/281).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "veil/keystream.hpp"

namespace veil {

// out = a + b. All three have the same size; `out` is `a`, `b` or apart from both.
void ring_add(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b,
              std::span<std::uint32_t> out, int threads);
void ring_add(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
              std::span<std::uint64_t> out, int threads);

// Keystreams of 32-byte keys with nonce 0, each with a sign: the masks of one vector.
class Masks {
 public:
  // Throws std::invalid_argument unless there is one sign, 1 or -1, for every 32 bytes of keys.
  Masks(Cipher cipher, std::span<const std::uint8_t> keys, std::span<const std::int8_t> signs);

  std::size_t size() const noexcept { return streams_.size(); }

  // The byte where element `offset` of `size` elements of Word begins. Throws std::overflow_error
  // past the end of the streams.
  template <class Word>
  std::uint64_t first_byte(std::uint64_t offset, std::uint64_t size) const;

  // out = in + sum of signs[j] * stream_j over j in [first, last), from a byte of the streams.
  template <class Word>
  void add(std::size_t first, std::size_t last, std::uint64_t byte, std::span<const Word> in,
           std::span<Word> out) const;

 private:
  std::vector<Keystream> streams_;
  std::vector<std::int8_t> signs_;
};

// out[i] = in[i] + sum over j of signs[j] * stream_j[offset + i], where stream_j is the keystream
// of the j-th 32-byte key with nonce 0, as little-endian words. One pass over the vector: each
// block stays in L2 while all streams are added to it from registers; threads share out blocks,
// and keys too where a vector has few blocks. `out` is `in` or apart.
// Throws std::invalid_argument on unequal sizes or a sign that is not 1 or -1, std::overflow_error
// past the end of the streams. Bits do not depend on `threads`.
void mask_add(Cipher cipher, std::span<const std::uint32_t> in, std::span<const std::uint8_t> keys,
              std::span<const std::int8_t> signs, std::uint64_t offset,
              std::span<std::uint32_t> out, int threads);
void mask_add(Cipher cipher, std::span<const std::uint64_t> in, std::span<const std::uint8_t> keys,
              std::span<const std::int8_t> signs, std::uint64_t offset,
              std::span<std::uint64_t> out, int threads);

}  // namespace veil
