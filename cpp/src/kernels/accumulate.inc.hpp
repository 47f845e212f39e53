// Running sums of w*x on a float64 lattice; see mean.inc.hpp for why lattice sums have no order.
// Needs vec.inc.hpp, floats.inc.hpp and lattice.inc.hpp.
//
// One level: a lattice fine enough for a bound on the sum. An accumulator is the double
// centre + K*u; K changes as an integer, and the double's exponent never does.
// Two levels: lattices of 2^(40*b), each 2^40 finer than the next, as in Demmel and Nguyen's binned
// sums. A block of 256 elements keeps the level b of its largest product and the one below; what a
// product contributes to either is its own property, whatever came before it.

constexpr std::size_t kSumBlock = 256;
constexpr std::size_t kSumTile = 16;  // elements per turn of the inner loop
constexpr std::uint64_t kLevelBits = 40;
constexpr std::uint64_t kLevelBias = 27;  // level index l holds multiples of 2^(40*(l - 27))
constexpr std::uint64_t kLeastLevel = 2;  // whose lower neighbour 2^-1040 is still a double

// The words of one block; the last one of a vector is padded with zeros.
template <class F>
struct SumBlock {
  typename F::Word padded[kSumBlock];

  const typename F::Word* of(const void* update, std::size_t begin, std::size_t end) {
    const auto* words = static_cast<const typename F::Word*>(update) + begin;
    if (end - begin >= kSumBlock) return words;
    std::memset(padded, 0, sizeof padded);
    std::memcpy(padded, words, (end - begin) * sizeof *words);
    return padded;
  }
};

// What a block's additions must not do: a product that leaves the lattice (infinity and NaN do)
// changes the exponent of centre + product; a sum outside [lowest, highest] is too large.
struct BoundedCheck {
  u64v left_lattice = {};
  f64v lowest;
  f64v highest;

  explicit BoundedCheck(double centre) : lowest(f64v{} + centre), highest(f64v{} + centre) {}

  bool failed(std::uint64_t centre_bits, std::uint64_t limit) const {
    const double low = bits_as<double>(centre_bits - limit);
    const double high = bits_as<double>(centre_bits + limit);
    bool fault = false;
    for (std::size_t i = 0; i < kDoubles; ++i) {
      fault |= (left_lattice[i] >> 52) != 0 || !(lowest[i] >= low) || !(highest[i] <= high);
    }
    return fault;
  }
};

// Adds elements [begin, end) of the update, or takes them back. Nonzero if a product leaves the
// lattice or a sum leaves [-limit, limit] units; taking back is exact even then.
template <class F, bool take_back>
inline std::uint32_t accumulate_bounded(const void* update, double weight, std::size_t begin,
                                        std::size_t end, double centre, std::uint64_t limit,
                                        double* sums) {
  const std::uint64_t centre_bits = bits_as<std::uint64_t>(centre);
  SumBlock<F> block;
  BoundedCheck check(centre);
  for (std::size_t at = begin; at < end; at += kSumBlock) {
    const auto* words = block.of(update, at, end);
    for (std::size_t tile = 0; tile < kSumBlock; tile += kSumTile) {
      for (std::size_t v = 0; v < kSumTile; v += kDoubles) {
        const std::size_t i = tile + v;
        const u64v point = bits_as<u64v>(F::widen(words + i) * weight + centre);
        const u64v old = load<u64v>(sums + at + i);
        const u64v step = point - centre_bits;
        const u64v sum = take_back ? old - step : old + step;
        check.left_lattice |= point ^ centre_bits;
        check.lowest = least(bits_as<f64v>(sum), check.lowest);
        check.highest = greatest(bits_as<f64v>(sum), check.highest);
        store(sums + at + i, sum);
      }
    }
  }
  return check.failed(centre_bits, limit) ? 1 : 0;
}

template <class F>
std::uint32_t add_bounded(const void* update, double weight, std::size_t begin, std::size_t end,
                          double centre, std::uint64_t limit, double* sums) {
  return accumulate_bounded<F, false>(update, weight, begin, end, centre, limit, sums);
}

template <class F>
std::uint32_t retract_bounded(const void* update, double weight, std::size_t begin, std::size_t end,
                              double centre, std::uint64_t limit, double* sums) {
  return accumulate_bounded<F, true>(update, weight, begin, end, centre, limit, sums);
}

// Level index of the least lattice of which |product| < 2^(40*(b + 1) - 1) is at most 2^39 points.
inline std::uint64_t level_for(double product) {
  const std::uint64_t level = ((bits_as<std::uint64_t>(product) >> 52) + 58) / kLevelBits;
  return level < kLeastLevel ? kLeastLevel : level;
}

// 1.5 * 2^52 lattice units of a level.
inline double level_centre(std::uint64_t level) {
  const std::uint64_t exponent = kLevelBits * level - kLevelBits * kLevelBias + 52 + 1023;
  return bits_as<double>((exponent << 52) | kHalfway);
}

// The largest magnitude as a double; infinite if a value is infinite or NaN.
template <class F>
inline double largest_of(const typename F::Word* words) {
  using Words = typename F::Words;
  constexpr std::size_t step = sizeof(Words) / sizeof(typename F::Word);
  Words top = {};
  for (std::size_t i = 0; i < kSumBlock; i += step) {
    const Words magnitude = load<Words>(words + i) & F::kMagnitude;
    top = magnitude > top ? magnitude : top;
  }
  auto largest = top[0];
  for (std::size_t i = 1; i < step; ++i) largest = top[i] > largest ? top[i] : largest;
  if (largest >= F::kInfinity) return __builtin_inf();
  typename F::Word lanes[kDoubles] = {static_cast<typename F::Word>(largest)};
  return F::widen(lanes)[0];
}

// The largest magnitude of each block to `tops`, and of all: infinite if a value is not finite.
template <class F>
double largest_magnitude(const void* update, std::size_t begin, std::size_t end, double* tops) {
  SumBlock<F> block;
  double largest = 0;
  for (std::size_t at = begin; at < end; at += kSumBlock) {
    const double here = largest_of<F>(block.of(update, at, end));
    tops[at / kSumBlock] = here;
    largest = here > largest ? here : largest;
  }
  return largest;
}

// Moves a block up to `level`: what falls below the level under it is dropped, whole.
inline void raise_level(std::uint64_t level, std::uint8_t* held, std::uint64_t* high,
                        std::uint64_t* low) {
  if (level <= *held) return;
  if (level == *held + 1U) {
    std::memcpy(low, high, kSumBlock * sizeof *low);
  } else {
    std::memset(low, 0, kSumBlock * sizeof *low);
  }
  std::memset(high, 0, kSumBlock * sizeof *high);
  *held = static_cast<std::uint8_t>(level);
}

// Adds elements [begin, end), begin a multiple of 256, whose blocks' magnitudes are `tops`.
// Products are finite and below 2^999; at most 2^24 - 1 additions keep the sums within int64.
template <class F>
void accumulate_levels(const void* update, const double* tops, double weight, std::size_t begin,
                       std::size_t end, std::uint64_t* high, std::uint64_t* low,
                       std::uint8_t* levels) {
  SumBlock<F> block;
  for (std::size_t at = begin; at < end; at += kSumBlock) {
    const auto* words = block.of(update, at, end);
    std::uint8_t* held = levels + at / kSumBlock;
    raise_level(level_for(tops[at / kSumBlock] * weight), held, high + at, low + at);
    const double centre = level_centre(*held);
    const double fine_centre = level_centre(*held - 1U);
    const std::uint64_t centre_bits = bits_as<std::uint64_t>(centre);
    const std::uint64_t fine_bits = bits_as<std::uint64_t>(fine_centre);
    for (std::size_t tile = 0; tile < kSumBlock; tile += kSumTile) {
      for (std::size_t v = 0; v < kSumTile; v += kDoubles) {
        const std::size_t i = tile + v;
        const f64v product = F::widen(words + i) * weight;
        const f64v point = product + centre;
        const f64v rest = product - (point - centre);  // exact
        const u64v fine = bits_as<u64v>(rest + fine_centre);
        store(high + at + i, load<u64v>(high + at + i) + (bits_as<u64v>(point) - centre_bits));
        store(low + at + i, load<u64v>(low + at + i) + (fine - fine_bits));
      }
    }
  }
}

// Divides and rounds one block's sums; the last block may be short.
template <class F>
inline void narrow_block(const double* sums, double total, std::size_t count,
                         typename F::Word* out) {
  double mean[kSumBlock];
  for (std::size_t i = 0; i < kSumBlock; i += kDoubles) {
    store(mean + i, load<f64v>(sums + i) / total);
  }
  F::narrow(mean, out, count < kSumBlock ? count : kSumBlock);
}

template <class F>
void mean_bounded(const double* sums, double centre, double total, std::size_t begin,
                  std::size_t end, void* out) {
  auto* words = static_cast<typename F::Word*>(out);
  double plain[kSumBlock];
  for (std::size_t at = begin; at < end; at += kSumBlock) {
    for (std::size_t i = 0; i < kSumBlock; ++i) plain[i] = sums[at + i] - centre;  // exact
    narrow_block<F>(plain, total, end - at, words + at);
  }
}

template <class F>
void mean_levels(const std::uint64_t* high, const std::uint64_t* low, const std::uint8_t* levels,
                 double total, std::size_t begin, std::size_t end, void* out) {
  auto* words = static_cast<typename F::Word*>(out);
  double plain[kSumBlock];
  for (std::size_t at = begin; at < end; at += kSumBlock) {
    const std::uint64_t level = levels[at / kSumBlock];
    const double unit = level_centre(level) * 0x1p-52 / 1.5;
    const double fine_unit = level_centre(level - 1) * 0x1p-52 / 1.5;
    for (std::size_t i = 0; i < kSumBlock; i += kDoubles) {
      store(plain + i, integer_to_double(load<u64v>(high + at + i)) * unit +
                           integer_to_double(load<u64v>(low + at + i)) * fine_unit);
    }
    narrow_block<F>(plain, total, end - at, words + at);
  }
}
