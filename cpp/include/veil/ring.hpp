// Vectors over Z/2^32 and Z/2^64: sums, and sums with keystreams (the masks of secure aggregation,
// Bonawitz et al. 2017, eprint 2017/281).
#pragma once

#include <cstdint>
#include <span>

#include "veil/keystream.hpp"

namespace veil {

// out = a + b. All three have the same size; `out` is `a`, `b` or apart from both.
void ring_add(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b,
              std::span<std::uint32_t> out, int threads);
void ring_add(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
              std::span<std::uint64_t> out, int threads);

// out[i] = in[i] + sum over j of signs[j] * stream_j[offset + i], where stream_j is the keystream
// of the j-th 32-byte key with nonce 0, as little-endian words. One pass over the vector: each
// block stays in L1 while all streams are added to it from registers. `out` is `in` or apart.
// Throws std::invalid_argument on unequal sizes or a sign that is not 1 or -1, std::overflow_error
// past the end of the streams. Bits do not depend on `threads`.
void mask_add(Cipher cipher, std::span<const std::uint32_t> in, std::span<const std::uint8_t> keys,
              std::span<const std::int8_t> signs, std::uint64_t offset,
              std::span<std::uint32_t> out, int threads);
void mask_add(Cipher cipher, std::span<const std::uint64_t> in, std::span<const std::uint8_t> keys,
              std::span<const std::int8_t> signs, std::uint64_t offset,
              std::span<std::uint64_t> out, int threads);

}  // namespace veil
