// Foreign bytes to bit unpacking: typed errors or values that pack to the same bytes, on every
// instruction set. Build with VEIL_SANITIZE=address,undefined to see reads out of bounds.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/pack.hpp"

namespace {

// An exact copy on the heap, so that the sanitizer sees one byte too far.
template <class T>
std::vector<T> exact(const std::uint8_t* data, std::size_t size) {
  std::vector<T> copy(size / sizeof(T));
  if (!copy.empty()) std::memcpy(copy.data(), data, copy.size() * sizeof(T));
  return copy;
}

template <class Word>
void unpack(const std::vector<std::uint8_t>& packed, unsigned bits, std::size_t count) {
  std::vector<Word> values(count);
  try {
    veil::unpack_bits(packed, bits, std::span<Word>(values));
  } catch (const std::invalid_argument&) {
    return;
  } catch (const std::overflow_error&) {
    return;
  }
  std::vector<std::uint8_t> again(packed.size());
  veil::pack_bits(std::span<const Word>(values), bits, again);
  if (again != packed) std::abort();
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    std::vector<Word> other(count);
    if constexpr (sizeof(Word) == 4) {
      table->unpack_bits_u32(packed.data(), packed.size(), count, bits, other.data());
    } else {
      table->unpack_bits_u64(packed.data(), packed.size(), count, bits, other.data());
    }
    if (other != values) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const unsigned bits = data[0];
  const auto packed = exact<std::uint8_t>(data + 3, size - 3);
  // Half of the inputs get the count that fits, the other half a foreign one.
  const std::size_t fitting = bits == 0 ? 0 : 8 * packed.size() / bits;
  const std::size_t count = (data[1] & 1U) != 0 ? fitting : data[1] * 256U + data[2];
  unpack<std::uint32_t>(packed, bits, count);
  unpack<std::uint64_t>(packed, bits, count);
  return 0;
}
