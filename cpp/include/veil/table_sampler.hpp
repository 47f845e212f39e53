// Exact integer noise: symmetric distributions as alias tables with 128-bit thresholds, and sums of
// them. What the tables must hold is proved in docs/design/noise.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "veil/cpu.hpp"
#include "veil/generator.hpp"

namespace veil {

// A distribution of magnitudes 0 .. 2^index_bits - 1, each then given a fair sign: column c gives c
// with probability (high[c] 2^64 + low[c]) / 2^128, else alias[c].
class AliasTable {
 public:
  static constexpr std::size_t kMaxColumns = std::size_t{1} << 15;

  // Throws std::invalid_argument unless the three have one length, a power of two from 1 to
  // kMaxColumns, and every alias is a column.
  AliasTable(std::span<const std::uint64_t> high, std::span<const std::uint64_t> low,
             std::span<const std::uint16_t> alias);

  std::size_t columns() const noexcept { return high_.size(); }
  const std::uint64_t* high() const noexcept { return high_.data(); }
  const std::uint64_t* low() const noexcept { return low_.data(); }
  const std::uint16_t* alias() const noexcept { return alias_.data(); }

 private:
  std::vector<std::uint64_t> high_;
  std::vector<std::uint64_t> low_;
  std::vector<std::uint16_t> alias_;
};

// sum over levels of 2^shift * (a draw from its table), all independent.
class TableSampler {
 public:
  struct Level {
    std::shared_ptr<const AliasTable> table;
    std::uint32_t shift;
  };
  static constexpr std::size_t kMaxLevels = 16;
  static constexpr std::uint32_t kMaxShift = 40;

  // Throws std::invalid_argument unless there are 1 to kMaxLevels levels with shifts up to
  // kMaxShift: the sum then stays below 16 * 2^15 * 2^40 = 2^59.
  explicit TableSampler(std::vector<Level> levels);

  // Fills `out` with independent draws, the same on any instruction set and number of threads. The
  // work per draw depends on nothing drawn, but for a branch of probability 2^-64 per table read;
  // the addresses of the table reads do depend on it.
  void sample(SecureGenerator& generator, std::span<std::int64_t> out, int threads,
              const KernelTable& kernels = active_kernels()) const;

  // out = granularity * (round(x / granularity) + a draw) for float or double, with the draws that
  // `sample` would make; x / granularity is clamped to +-2^52. `x` is finite; `out` is as long, and
  // the same memory or apart. Throws std::invalid_argument unless granularity is a power of two
  // from 2^-960 (2^-125 for float) to 2^960. No x takes longer than another.
  template <class T>
  void add_to_lattice(SecureGenerator& generator, std::span<const T> x, std::span<T> out,
                      double granularity, int threads,
                      const KernelTable& kernels = active_kernels()) const;

 private:
  struct Streams;
  // Calls sink(offset, draws) for consecutive batches of draws [first, first + count).
  template <class Sink>
  void draw(const Streams& streams, std::size_t first, std::size_t count,
            const KernelTable& kernels, Sink sink) const;
  // Calls batch(offset, draws) for all of `count` draws, in any order, on up to `threads` threads.
  template <class Sink>
  void draw_all(SecureGenerator& generator, std::size_t count, int threads,
                const KernelTable& kernels, Sink sink) const;

  std::vector<Level> levels_;
};

}  // namespace veil
