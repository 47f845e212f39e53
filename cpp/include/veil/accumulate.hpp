// Running reproducible sums of w*x: any order of additions and merges gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "veil/floats.hpp"

namespace veil {

// Sums are held in blocks of this many elements; their arrays are padded to whole blocks.
inline constexpr std::size_t kAccumulatorBlock = 256;

constexpr std::size_t padded_length(std::size_t length) {
  return (length + kAccumulatorBlock - 1) / kAccumulatorBlock * kAccumulatorBlock;
}

// A sum would leave the bound it was promised, or the range of the lattices.
class BoundExceeded : public std::overflow_error {
 public:
  using std::overflow_error::overflow_error;
};

// One level, 8 bytes per element, for sums within [-bound, bound].
struct BoundedLattice {
  // Throws std::invalid_argument unless 2^-960 <= bound <= 2^960.
  explicit BoundedLattice(double bound);

  double bound;
  double unit;    // 2^-50 of the power of two at or above the bound
  double centre;  // what an empty sum holds: 1.5 * 2^52 units

  // Most units that a sum may hold after so many additions, each rounded by half a unit.
  std::uint64_t limit(std::uint64_t additions) const;
};

// sums += weight * update. `additions` counts this one too. Throws NotFinite or BoundExceeded;
// `sums` is then as before.
void accumulate(const BoundedLattice& lattice, FloatFormat format, const void* update,
                std::size_t length, double weight, std::uint64_t additions, std::span<double> sums,
                int threads);
// sums += other. Throws BoundExceeded; `sums` is then as before.
void merge(const BoundedLattice& lattice, std::span<const double> other, std::uint64_t additions,
           std::span<double> sums);
// out = sums / total, rounded to `format`.
void mean(const BoundedLattice& lattice, std::span<const double> sums, double total,
          FloatFormat format, std::size_t length, void* out, int threads);

// Two levels, 16 bytes per element, for sums of any size.
struct LevelSums {
  std::span<std::uint64_t> high;
  std::span<std::uint64_t> low;
  std::span<std::uint8_t> levels;  // one per block; kLeastLevel when empty

  static constexpr std::uint8_t kLeastLevel = 2;
  static constexpr std::uint64_t kMaxAdditions = (std::uint64_t{1} << 24) - 1;
};

// Throws NotFinite, or BoundExceeded if |weight * update| reaches 2^999 or additions exceed
// kMaxAdditions; the sums are then as before.
void accumulate(FloatFormat format, const void* update, std::size_t length, double weight,
                std::uint64_t additions, const LevelSums& sums, int threads);
void merge(const LevelSums& other, std::uint64_t additions, const LevelSums& sums);
void mean(const LevelSums& sums, double total, FloatFormat format, std::size_t length, void* out,
          int threads);

}  // namespace veil
