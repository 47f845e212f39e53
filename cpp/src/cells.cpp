#include "veil/cells.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/float_mode.hpp"

namespace veil {
namespace {

constexpr std::size_t kBlock = 2048;
// Equal neighbours would otherwise wait for each other's store: four tables, if they fit in L1.
constexpr std::size_t kTables = 4;
constexpr std::size_t kMostCellsInTables = 900;

// Slots of the raw table: below, the cells, above, not finite.
constexpr std::size_t kExtra = 3;

}  // namespace

template <class T>
CellCounts count_cells(std::span<const T> values, double low, double high, double scale,
                       std::span<std::int64_t> counts) {
  const std::size_t cells = counts.size();
  if (!(low < high) || !std::isfinite(high - low) || !(scale > 0.0) || !std::isfinite(scale) ||
      cells == 0 || cells > std::numeric_limits<std::int32_t>::max() - kExtra) {
    throw std::invalid_argument(
        "low, high, scale, counts: expected finite low < high, a finite scale above 0 and 1 to "
        "2^31 - 4 cells");
  }
  const auto slots_of = active_kernels().cell_slots[std::is_same_v<T, double> ? 1 : 0];
  const std::size_t tables = cells <= kMostCellsInTables ? kTables : 1;
  const std::size_t stride = cells + kExtra;
  const FloatMode mode(Subnormals::kept);  // the least number below an end is outside
  std::vector<std::int64_t> raw(tables * stride);
  alignas(64) std::array<std::int32_t, kBlock> slots;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::size_t n = std::min(kBlock, values.size() - begin);
    slots_of(values.data() + begin, slots.data(), n, low, high, scale,
             static_cast<double>(cells - 1));
    for (std::size_t i = 0; i < n; ++i) {
      ++raw[(i & (tables - 1)) * stride + static_cast<std::size_t>(slots[i])];
    }
  }
  CellCounts outside;
  for (std::size_t table = 0; table < tables; ++table) {
    const std::int64_t* row = raw.data() + table * stride;
    for (std::size_t cell = 0; cell < cells; ++cell) counts[cell] += row[cell + 1];
    outside.below += static_cast<std::uint64_t>(row[0]);
    outside.above += static_cast<std::uint64_t>(row[cells + 1]);
    outside.not_finite += static_cast<std::uint64_t>(row[cells + 2]);
  }
  return outside;
}

template <class T>
std::uint64_t count_integers(std::span<const T> values, std::int64_t first,
                             std::span<std::int64_t> counts) {
  const std::size_t cells = counts.size();
  const std::size_t tables = cells <= kMostCellsInTables ? kTables : 1;
  const std::size_t stride = cells + 1;
  std::vector<std::int64_t> raw(tables * stride);
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Modulo 2^64: a value below `first` becomes larger than any index.
    const std::uint64_t index =
        static_cast<std::uint64_t>(values[i]) - static_cast<std::uint64_t>(first);
    ++raw[(i & (tables - 1)) * stride + std::min<std::uint64_t>(index, cells)];
  }
  std::int64_t outside = 0;
  for (std::size_t table = 0; table < tables; ++table) {
    const std::int64_t* row = raw.data() + table * stride;
    for (std::size_t cell = 0; cell < cells; ++cell) counts[cell] += row[cell];
    outside += row[cells];
  }
  return static_cast<std::uint64_t>(outside);
}

template CellCounts count_cells(std::span<const float>, double, double, double,
                                std::span<std::int64_t>);
template CellCounts count_cells(std::span<const double>, double, double, double,
                                std::span<std::int64_t>);

template std::uint64_t count_integers(std::span<const std::int8_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::int16_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::int32_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::int64_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::uint8_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::uint16_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::uint32_t>, std::int64_t,
                                      std::span<std::int64_t>);
template std::uint64_t count_integers(std::span<const std::uint64_t>, std::int64_t,
                                      std::span<std::int64_t>);

}  // namespace veil
