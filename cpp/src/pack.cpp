#include "veil/pack.hpp"

#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"

namespace veil {
namespace {

void require_bits(unsigned bits, unsigned most) {
  if (bits >= 1 && bits <= most) return;
  throw std::invalid_argument("bits: expected 1 to " + std::to_string(most) + ", got " +
                              std::to_string(bits));
}

void require_bytes(const char* name, std::size_t expected, std::size_t got) {
  if (expected == got) return;
  throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(expected) +
                              " bytes, got " + std::to_string(got));
}

template <class Word, class Kernel>
void pack(std::span<const Word> values, unsigned bits, std::span<std::uint8_t> out, Kernel kernel) {
  require_bytes("out", packed_bytes(values.size(), bits), out.size());
  if (kernel(values.data(), values.size(), bits, out.data()) != 0) {
    throw std::invalid_argument("values: expected each below 2^" + std::to_string(bits) +
                                ", got a larger one");
  }
}

template <class Word, class Kernel>
void unpack(std::span<const std::uint8_t> packed, unsigned bits, std::span<Word> values,
            Kernel kernel) {
  require_bits(bits, 8 * sizeof(Word));
  require_bytes("packed", packed_bytes(values.size(), bits), packed.size());
  const auto used = static_cast<unsigned>(values.size() * bits % 8);
  if (used != 0 && packed.back() >> used != 0) {
    throw std::invalid_argument("packed: expected zero bits after the last value, got others");
  }
  kernel(packed.data(), packed.size(), values.size(), bits, values.data());
}

}  // namespace

std::size_t packed_bytes(std::size_t count, unsigned bits) {
  require_bits(bits, 64);
  if (count > (std::numeric_limits<std::size_t>::max() - 7) / bits) {
    throw std::overflow_error("count: too many values to pack");
  }
  return (count * bits + 7) / 8;
}

void pack_bits(std::span<const std::uint32_t> values, unsigned bits, std::span<std::uint8_t> out) {
  pack(values, bits, out, active_kernels().pack_bits_u32);
}

void pack_bits(std::span<const std::uint64_t> values, unsigned bits, std::span<std::uint8_t> out) {
  pack(values, bits, out, active_kernels().pack_bits_u64);
}

void unpack_bits(std::span<const std::uint8_t> packed, unsigned bits,
                 std::span<std::uint32_t> values) {
  unpack(packed, bits, values, active_kernels().unpack_bits_u32);
}

void unpack_bits(std::span<const std::uint8_t> packed, unsigned bits,
                 std::span<std::uint64_t> values) {
  unpack(packed, bits, values, active_kernels().unpack_bits_u64);
}

}  // namespace veil
