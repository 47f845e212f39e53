#include "veil/table_sampler.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/table.hpp"
#include "text.hpp"
#include "veil/parallel.hpp"
#include "veil/secret.hpp"

namespace veil {
namespace {

constexpr std::size_t kBlockValues = 8;
constexpr std::size_t kBlockBytes = 80;
constexpr std::size_t kBatchBlocks = 128;  // 10 KiB of random words and 8 KiB of values: in L1
constexpr std::size_t kBatchValues = kBatchBlocks * kBlockValues;
constexpr std::size_t kChunkValues = 32 * kBatchValues;
// One reservation: 16 levels of 10 bytes per value stay below SecureGenerator's limit.
constexpr std::size_t kPieceValues = std::size_t{1} << 28;
static_assert(kPieceValues % kChunkValues == 0);
static_assert(TableSampler::kMaxLevels * (kPieceValues / kBlockValues) * kBlockBytes <=
              SecureGenerator::kMaxSliceBytes);

constexpr std::size_t blocks_for(std::size_t values) {
  return (values + kBlockValues - 1) / kBlockValues;
}

template <class T>
T word_at(const std::uint8_t* bytes) {
  T word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// The kernel gave every tied draw its alias. One whose next 64 bits are below the lower limb should
// have had its column.
template <class TieWord>
void settle_ties(const AliasTable& table, std::uint32_t shift, const std::uint8_t* random,
                 std::span<std::int64_t> out, TieWord tie_word) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint8_t* block = random + i / kBlockValues * kBlockBytes;
    const auto r = word_at<std::uint64_t>(block + 8 * (i % kBlockValues));
    const auto w = word_at<std::uint16_t>(block + 64 + 2 * (i % kBlockValues));
    const std::size_t column = w & (table.columns() - 1);
    if (r != table.high()[column] || tie_word(i) >= table.low()[column]) continue;
    const std::int64_t change = static_cast<std::int64_t>(column) - table.alias()[column];
    out[i] += (w >> 15 != 0 ? -change : change) * (std::int64_t{1} << shift);
  }
}

}  // namespace

AliasTable::AliasTable(std::span<const std::uint64_t> high, std::span<const std::uint64_t> low,
                       std::span<const std::uint16_t> alias)
    : high_(high.begin(), high.end()),
      low_(low.begin(), low.end()),
      alias_(alias.begin(), alias.end()) {
  const std::size_t columns = high_.size();
  if (!std::has_single_bit(columns) || columns > kMaxColumns || low_.size() != columns ||
      alias_.size() != columns) {
    throw std::invalid_argument(
        "AliasTable: expected three arrays of one length, a power of two up to 32768");
  }
  if (std::any_of(alias_.begin(), alias_.end(), [&](auto other) { return other >= columns; })) {
    throw std::invalid_argument("alias: expected columns of the table, got a larger one");
  }
}

TableSampler::TableSampler(std::vector<Level> levels) : levels_(std::move(levels)) {
  const bool fits = std::all_of(levels_.begin(), levels_.end(), [](const Level& level) {
    return level.table != nullptr && level.shift <= kMaxShift;
  });
  if (levels_.empty() || levels_.size() > kMaxLevels || !fits) {
    throw std::invalid_argument(
        "levels: expected 1 to 16 tables with shifts up to 40, got others; their sum would not fit "
        "64 bits");
  }
}

// One reservation's random words. Level by level: 80 bytes per block of draws in `words`, 8 bytes
// per draw in `ties`, of which nearly none is ever read.
struct TableSampler::Streams {
  StreamSlice words;
  StreamSlice ties;
  std::size_t blocks;

  Streams(SecureGenerator& generator, std::size_t levels, std::size_t values)
      : words(generator.reserve(levels * blocks_for(values) * kBlockBytes)),
        ties(generator.reserve(levels * blocks_for(values) * kBlockValues * 8)),
        blocks(blocks_for(values)) {}

  void fill(std::size_t level, std::size_t first_value, std::span<std::uint8_t> random) const {
    words.fill((level * blocks + first_value / kBlockValues) * kBlockBytes, random);
  }

  std::uint64_t tie_word(std::size_t level, std::size_t value) const {
    std::array<std::uint8_t, 8> bytes;
    ties.fill((level * blocks * kBlockValues + value) * 8, bytes);
    return word_at<std::uint64_t>(bytes.data());
  }
};

// `first` is a multiple of kBlockValues.
template <class Sink>
void TableSampler::draw(const Streams& streams, std::size_t first, std::size_t count,
                        const KernelTable& kernels, Sink sink) const {
  alignas(64) std::array<std::uint8_t, kBatchBlocks * kBlockBytes> random;
  alignas(64) std::array<std::int64_t, kBatchValues> sum;
  const std::size_t end = first + count;
  while (first < end) {
    const std::size_t values = std::min(kBatchValues, end - first);
    const std::size_t blocks = blocks_for(values);
    sum.fill(0);
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const AliasTable& table = *levels_[i].table;
      streams.fill(i, first, std::span(random).first(blocks * kBlockBytes));
      const std::uint64_t tied = kernels.table_add(random.data(), table.high(), table.alias(),
                                                   static_cast<std::uint32_t>(table.columns() - 1),
                                                   levels_[i].shift, sum.data(), blocks);
      if (tied == 0) continue;  // a tie has probability 2^-64 per draw
      settle_ties(table, levels_[i].shift, random.data(), std::span(sum).first(values),
                  [&](std::size_t value) { return streams.tie_word(i, first + value); });
    }
    sink(first, std::span<const std::int64_t>(sum).first(values));
    first += values;
  }
  wipe(random.data(), sizeof random);
  wipe(sum.data(), sizeof sum);
}

template <class Sink>
void TableSampler::draw_all(SecureGenerator& generator, std::size_t count, int threads,
                            const KernelTable& kernels, Sink sink) const {
  std::size_t begin = 0;
  do {
    const std::size_t piece = std::min(kPieceValues, count - begin);
    const Streams streams(generator, levels_.size(), piece);
    parallel_for((piece + kChunkValues - 1) / kChunkValues, threads, [&](std::size_t chunk) {
      const std::size_t first = chunk * kChunkValues;
      draw(streams, first, std::min(kChunkValues, piece - first), kernels,
           [&](std::size_t at, std::span<const std::int64_t> draws) { sink(begin + at, draws); });
    });
    begin += piece;
  } while (begin < count);
}

void TableSampler::sample(SecureGenerator& generator, std::span<std::int64_t> out, int threads,
                          const KernelTable& kernels) const {
  draw_all(generator, out.size(), threads, kernels,
           [&](std::size_t at, std::span<const std::int64_t> draws) {
             std::copy_n(draws.begin(), draws.size(),
                         out.begin() + static_cast<std::ptrdiff_t>(at));
           });
}

template <class T>
void TableSampler::add_to_lattice(SecureGenerator& generator, std::span<const T> x,
                                  std::span<T> out, double granularity, int threads,
                                  const KernelTable& kernels) const {
  // Subnormals of x count as zero, and round to it where they are no more than half of this.
  constexpr double least = std::is_same_v<T, double> ? 0x1p-960 : 0x1p-125;
  int exponent = 0;
  if (std::frexp(granularity, &exponent) != 0.5 || !(granularity >= least) ||
      granularity > 0x1p960) {
    throw std::invalid_argument(std::string("granularity: expected a power of two from 2^") +
                                (std::is_same_v<T, double> ? "-960" : "-125 (float32)") +
                                " to 2^960, got " + shortest(granularity));
  }
  const auto add = kernels.lattice_add[std::is_same_v<T, double> ? 1 : 0];
  draw_all(generator, x.size(), threads, kernels,
           [&](std::size_t at, std::span<const std::int64_t> draws) {
             add(x.data() + at, draws.data(), out.data() + at, draws.size(), 1.0 / granularity,
                 granularity);
           });
}

template void TableSampler::add_to_lattice(SecureGenerator&, std::span<const float>,
                                           std::span<float>, double, int, const KernelTable&) const;
template void TableSampler::add_to_lattice(SecureGenerator&, std::span<const double>,
                                           std::span<double>, double, int,
                                           const KernelTable&) const;

}  // namespace veil
