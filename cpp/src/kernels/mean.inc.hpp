// Reproducible weighted mean: each product w*x is rounded once to a power-of-two lattice and the
// lattice points are added as integers, so the sum has no order (the pre-rounding of Demmel and
// Nguyen 2015, doi 10.1109/TC.2014.2345391, with one lattice per column).
// Needs vec.inc.hpp, floats.inc.hpp and lattice.inc.hpp.
//
// With 2^E <= max|x| < 2^(E+1) in a column and all weights below 1/4, |w*x| < 2^(E-1), so that
// w*x + 1.5*2^E stays in [2^E, 2^(E+1)], where doubles are 2^(E-52) apart: its bits, less those of
// 1.5*2^E, are round(w*x / 2^(E-52)).

constexpr std::size_t kMeanBlock = 1024;  // columns whose scratch stays in L1
constexpr std::size_t kMeanTile = 32;     // columns; whole cache lines in every format
constexpr std::size_t kMeanRows = 4;      // rows read side by side

template <class F>
struct MeanScratch {
  alignas(64) typename F::Word top[kMeanBlock];  // max|x|
  alignas(64) double centre[kMeanBlock];         // 1.5*2^E
  alignas(64) std::uint64_t sum[kMeanBlock];
};

template <class F>
struct MeanRows {
  const typename F::Word* words[kMeanRows];

  MeanRows(const void* const* rows, std::size_t column) {
    for (std::size_t j = 0; j < kMeanRows; ++j) {
      words[j] = static_cast<const typename F::Word*>(rows[j]) + column;
    }
  }
  // The next block, which this core reads after this one, towards L2.
  void prefetch(std::size_t column) const {
    constexpr std::size_t line = 64 / sizeof(typename F::Word);
    for (std::size_t j = 0; j < kMeanRows; ++j) {
      for (std::size_t c = column; c < column + kMeanTile; c += line) {
        __builtin_prefetch(words[j] + c + kMeanBlock, 0, 2);
      }
    }
  }
};

template <class F>
inline void mean_top(const void* const* rows, std::size_t updates, std::size_t column,
                     std::size_t count, MeanScratch<F>& scratch) {
  using Words = typename F::Words;
  constexpr std::size_t step = sizeof(Words) / sizeof(typename F::Word);
  std::memset(scratch.top, 0, sizeof scratch.top);
  for (std::size_t i = 0; i < updates; i += kMeanRows) {
    const MeanRows<F> group(rows + i, column);
    for (std::size_t c = 0; c < count; c += step) {
      Words top = load<Words>(scratch.top + c);
      for (std::size_t j = 0; j < kMeanRows; ++j) {
        const Words magnitude = load<Words>(group.words[j] + c) & F::kMagnitude;
        top = magnitude > top ? magnitude : top;
      }
      store(scratch.top + c, top);
    }
  }
}

// Starts each sum at -updates * bits(centre), which takes back what every addition brings along.
template <class F>
inline void mean_centre(std::size_t updates, std::size_t count, MeanScratch<F>& scratch) {
  const auto minus_updates = static_cast<std::uint32_t>(~updates + 1);
  for (std::size_t c = 0; c < count; c += kDoubles) {
    const u64v bits = power_below(F::widen(scratch.top + c)) | kHalfway;
    store(scratch.centre + c, bits);
    store(scratch.sum + c, ((bits >> 32) * minus_updates) << 32);  // the low half of bits is zero
  }
}

template <class F>
inline void mean_add(const void* const* rows, const double* weights, std::size_t updates,
                     std::size_t column, std::size_t count, MeanScratch<F>& scratch) {
  for (std::size_t i = 0; i < updates; i += kMeanRows) {
    const MeanRows<F> group(rows + i, column);
    for (std::size_t tile = 0; tile < count; tile += kMeanTile) {
      group.prefetch(tile);
      for (std::size_t c = tile; c < tile + kMeanTile; c += kDoubles) {
        const f64v centre = load<f64v>(scratch.centre + c);
        u64v sum = load<u64v>(scratch.sum + c);
        for (std::size_t j = 0; j < kMeanRows; ++j) {
          sum += bits_as<u64v>(F::widen(group.words[j] + c) * weights[i + j] + centre);
        }
        store(scratch.sum + c, sum);
      }
    }
  }
}

template <class F>
inline void mean_finish(double total, std::size_t count, MeanScratch<F>& scratch,
                        typename F::Word* out) {
  for (std::size_t c = 0; c < count; c += kDoubles) {
    const f64v limit = F::widen(scratch.top + c);
    const f64v power = bits_as<f64v>(load<u64v>(scratch.centre + c) & kExponent);
    const f64v value = integer_to_double(load<u64v>(scratch.sum + c)) * 0x1p-52 / total * power;
    const f64v below = value > limit ? limit : value;  // a mean is no larger than its values
    store(scratch.centre + c, below < -limit ? -limit : below);
  }
  F::narrow(scratch.centre, out, count);
}

template <class F>
inline void mean_block(const void* const* rows, const double* weights, std::size_t updates,
                       std::size_t column, std::size_t count, double total, MeanScratch<F>& scratch,
                       typename F::Words& sticky, void* out) {
  using Words = typename F::Words;
  mean_top(rows, updates, column, count, scratch);
  for (std::size_t c = 0; c < count; c += sizeof(Words) / sizeof(typename F::Word)) {
    const Words top = load<Words>(scratch.top + c);
    sticky = top > sticky ? top : sticky;
  }
  mean_centre(updates, count, scratch);
  mean_add(rows, weights, updates, column, count, scratch);
  mean_finish(total, count, scratch, static_cast<typename F::Word*>(out) + column);
}

// Columns [begin, end) of the mean, at least kMeanTile of them; `updates` is a multiple of
// kMeanRows, padded with weights of zero. True if a value is infinite or NaN: `out` is then
// meaningless. Weights are in [0, 1/4), scaled down further so that the integer sums fit.
template <class F>
std::uint32_t weighted_mean(const void* const* rows, const double* weights, std::size_t updates,
                            std::size_t begin, std::size_t end, double total, void* out) {
  MeanScratch<F> scratch;
  typename F::Words sticky = {};
  const std::size_t whole = (end - begin) / kMeanTile * kMeanTile;
  for (std::size_t done = 0; done < whole; done += kMeanBlock) {
    const std::size_t left = whole - done;
    mean_block(rows, weights, updates, begin + done, left < kMeanBlock ? left : kMeanBlock, total,
               scratch, sticky, out);
  }
  if (begin + whole < end) {  // the last tile overlaps: a column's result is its values' alone
    mean_block(rows, weights, updates, end - kMeanTile, kMeanTile, total, scratch, sticky, out);
  }
  std::uint32_t bad = 0;
  for (std::size_t i = 0; i < sizeof sticky / sizeof(typename F::Word); ++i) {
    bad |= sticky[i] >= F::kInfinity;
  }
  return bad;
}
