// What a client of secure aggregation sends: its vector encoded, masked and packed in one pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "veil/fixed_point.hpp"
#include "veil/ring.hpp"

namespace veil {

// The elements `head` (ring elements as they are), then the values that `encoder` knows, from
// element `offset` of the masks' streams on: plus the masks, modulo 2^ring_bits, packed to
// ring_bits bits each. Every block is encoded, masked and packed before the next is touched: no
// temporary has the vector's size, and unmasked words never leave a thread's block.
// Throws std::invalid_argument unless `offset` is a multiple of 8 and `out` has packed_bytes of all
// elements, std::overflow_error past the end of the streams, std::domain_error if a value is NaN or
// infinite (`out` then holds nothing of use). Bits do not depend on `threads`.
template <class Word>
void encode_masked(const FixedPointEncoder& encoder, unsigned ring_bits, std::span<const Word> head,
                   const Masks& masks, std::uint64_t offset, std::span<std::uint8_t> out,
                   int threads);

}  // namespace veil
