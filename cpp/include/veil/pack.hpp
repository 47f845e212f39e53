// Bit packing of ring elements for the wire, any width from 1 to 64 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace veil {

// Bytes of `count` values of `bits` bits. Throws std::invalid_argument unless 1 <= bits <= 64, and
// std::overflow_error if the number of bits does not fit.
std::size_t packed_bytes(std::size_t count, unsigned bits);

// Value i goes to bits [i * bits, (i + 1) * bits) from the least significant bit of byte 0; padding
// bits are zero. Throws std::invalid_argument if `out` is not packed_bytes long, or a value has
// more than `bits` bits (`out` then holds nothing of use).
void pack_bits(std::span<const std::uint32_t> values, unsigned bits, std::span<std::uint8_t> out);
void pack_bits(std::span<const std::uint64_t> values, unsigned bits, std::span<std::uint8_t> out);

// The inverse. Throws std::invalid_argument if `packed` has another length or nonzero padding, or
// `bits` is more than a word of `values` holds.
void unpack_bits(std::span<const std::uint8_t> packed, unsigned bits,
                 std::span<std::uint32_t> values);
void unpack_bits(std::span<const std::uint8_t> packed, unsigned bits,
                 std::span<std::uint64_t> values);

}  // namespace veil
