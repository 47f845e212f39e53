#include "veil/accumulate.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/table.hpp"
#include "text.hpp"
#include "veil/cpu.hpp"
#include "veil/parallel.hpp"

namespace veil {
namespace {

constexpr std::size_t kChunk = 64 * kAccumulatorBlock;  // elements per task

template <class F>
void for_chunks(std::size_t length, int threads, const F& function) {
  const auto run = [&](std::size_t chunk) {
    function(chunk, chunk * kChunk, std::min(length, (chunk + 1) * kChunk));
  };
  parallel_for((length + kChunk - 1) / kChunk, threads, run, Subnormals::kept);
}

[[noreturn]] void throw_bound_exceeded(double bound) {
  throw BoundExceeded(
      "update: expected every partial sum of weight * update within bound = " + shortest(bound) +
      ", got a larger one; nothing was added: raise the bound, or pass bound=None");
}

void require_additions(std::uint64_t additions) {
  if (additions <= LevelSums::kMaxAdditions) return;
  throw BoundExceeded(
      "update: expected at most 16777215 additions without a bound, got one more; "
      "nothing was added: take the mean and start anew, or pass a bound");
}

// How far a block's sums move down when the block goes up to `level`.
std::uint64_t moved(std::uint64_t high, std::uint64_t low, std::uint8_t from, std::uint8_t level,
                    bool to_high) {
  if (from == level) return to_high ? high : low;
  return from + 1 == level && !to_high ? high : 0;
}

}  // namespace

BoundedLattice::BoundedLattice(double sum_bound) : bound(sum_bound), unit(0), centre(0) {
  if (!(bound >= 0x1p-960 && bound <= 0x1p960)) {
    throw std::invalid_argument(
        "bound: expected None or a number between 2^-960 and 2^960 that no sum of |weight * "
        "update| exceeds, got " +
        shortest(bound));
  }
  const int floor_exponent = std::ilogb(bound);
  const int exponent =
      std::ldexp(1.0, floor_exponent) == bound ? floor_exponent : floor_exponent + 1;
  unit = std::ldexp(1.0, exponent - 50);
  centre = std::ldexp(1.5, exponent + 2);
}

std::uint64_t BoundedLattice::limit(std::uint64_t additions) const {
  // 2 more: the roundings of all products to float64 add less than one unit.
  return static_cast<std::uint64_t>(bound / unit) + additions / 2 + 2;
}

void accumulate(const BoundedLattice& lattice, FloatFormat format, const void* update,
                std::size_t length, double weight, std::uint64_t additions, std::span<double> sums,
                int threads) {
  const KernelTable& kernels = active_kernels();
  const auto add = kernels.accumulate_bounded[static_cast<unsigned>(format)];
  const auto take_back = kernels.retract_bounded[static_cast<unsigned>(format)];
  const std::uint64_t limit = lattice.limit(additions);
  std::atomic<std::uint32_t> fault{0};
  for_chunks(length, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    fault |= add(update, weight, begin, end, lattice.centre, limit, sums.data());
  });
  if (fault == 0) return;
  for_chunks(length, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    take_back(update, weight, begin, end, lattice.centre, limit, sums.data());
  });
  require_finite(format, update, length, "update");
  throw_bound_exceeded(lattice.bound);
}

void merge(const BoundedLattice& lattice, std::span<const double> other, std::uint64_t additions,
           std::span<double> sums) {
  const auto centre = std::bit_cast<std::uint64_t>(lattice.centre);
  const std::uint64_t limit = lattice.limit(additions);
  const auto merged = [&](std::size_t i) {
    return std::bit_cast<std::uint64_t>(sums[i]) + std::bit_cast<std::uint64_t>(other[i]) - centre;
  };
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::uint64_t count = merged(i) - centre;
    if (count + limit > 2 * limit) throw_bound_exceeded(lattice.bound);
  }
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = std::bit_cast<double>(merged(i));
}

void mean(const BoundedLattice& lattice, std::span<const double> sums, double total,
          FloatFormat format, std::size_t length, void* out, int threads) {
  const auto finish = active_kernels().mean_bounded[static_cast<unsigned>(format)];
  for_chunks(length, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    finish(sums.data(), lattice.centre, total, begin, end, out);
  });
}

void accumulate(FloatFormat format, const void* update, std::size_t length, double weight,
                std::uint64_t additions, const LevelSums& sums, int threads) {
  require_additions(additions);
  const KernelTable& kernels = active_kernels();
  const auto largest = kernels.largest_magnitude[static_cast<unsigned>(format)];
  const auto add = kernels.accumulate_levels[static_cast<unsigned>(format)];
  std::vector<double> tops(padded_length(length) / kAccumulatorBlock);
  std::atomic<std::uint32_t> not_finite{0};
  std::atomic<std::uint32_t> too_large{0};
  for_chunks(length, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    const double top = largest(update, begin, end, tops.data());
    not_finite |= std::isinf(top) ? 1U : 0U;
    too_large |= top * weight >= 0x1p999 ? 1U : 0U;
  });
  if (not_finite != 0) require_finite(format, update, length, "update");
  if (too_large != 0) {
    throw BoundExceeded(
        "update: expected |weight * update| below 2^999, got a larger product; "
        "nothing was added: use smaller weights");
  }
  for_chunks(length, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    add(update, tops.data(), weight, begin, end, sums.high.data(), sums.low.data(),
        sums.levels.data());
  });
}

void merge(const LevelSums& other, std::uint64_t additions, const LevelSums& sums) {
  require_additions(additions);
  for (std::size_t block = 0; block < sums.levels.size(); ++block) {
    const std::uint8_t level = std::max(sums.levels[block], other.levels[block]);
    const std::size_t begin = block * kAccumulatorBlock;
    for (std::size_t i = begin; i < begin + kAccumulatorBlock; ++i) {
      const auto both = [&](bool to_high) {
        return moved(sums.high[i], sums.low[i], sums.levels[block], level, to_high) +
               moved(other.high[i], other.low[i], other.levels[block], level, to_high);
      };
      const std::uint64_t high = both(true);
      sums.low[i] = both(false);
      sums.high[i] = high;
    }
    sums.levels[block] = level;
  }
}

void mean(const LevelSums& sums, double total, FloatFormat format, std::size_t length, void* out,
          int threads) {
  const auto finish = active_kernels().mean_levels[static_cast<unsigned>(format)];
  for_chunks(length, threads, [&](std::size_t, std::size_t begin, std::size_t end) {
    finish(sums.high.data(), sums.low.data(), sums.levels.data(), total, begin, end, out);
  });
}

}  // namespace veil
