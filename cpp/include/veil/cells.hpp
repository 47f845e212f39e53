// Counting values into equal cells of an interval: one pass, exact in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace veil {

struct CellCounts {
  std::uint64_t below = 0;
  std::uint64_t above = 0;
  std::uint64_t not_finite = 0;
};

// Adds 1 to counts[min(cells - 1, floor((x - low) * scale))] for every x in [low, high], and counts
// the others apart. Throws std::invalid_argument unless low < high, both finite, scale is above 0,
// and there are 1 to 2^31 - 4 cells.
template <class T>
CellCounts count_cells(std::span<const T> values, double low, double high, double scale,
                       std::span<std::int64_t> counts);

// Adds 1 to counts[x - first] for every x in [first, first + counts.size()), and returns how many
// values lie outside. T is an integer type.
template <class T>
std::uint64_t count_integers(std::span<const T> values, std::int64_t first,
                             std::span<std::int64_t> counts);

extern template CellCounts count_cells(std::span<const float>, double, double, double,
                                       std::span<std::int64_t>);
extern template CellCounts count_cells(std::span<const double>, double, double, double,
                                       std::span<std::int64_t>);

}  // namespace veil
