// Fused clip, scale, rounding to the lattice and reduction to the ring; and the way back.
// Needs vec.inc.hpp and floats.inc.hpp. All arithmetic is double: scaling by a power of two is
// exact, and so are floor and the fraction, so every instruction set gives the same bits.

// Adding and subtracting it rounds |y| < 2^51 to the nearest integer, ties to even.
constexpr double kRoundingShift = 0x1.8p52;
constexpr double kTwoTo52 = 0x1p52;

struct Encoder {
  double inverse_granularity;
  double clip;
  std::uint64_t ring_mask;

  f64v scaled(f64v x) const {
    const f64v high = f64v{} + clip;
    x = x > high ? high : x;
    x = x < -high ? -high : x;
    return x * inverse_granularity;
  }

  // The integer of a double that holds one, modulo 2^64, then reduced to the ring.
  u64v ring_element(f64v integer) const {
    // 2^52 + 2^51 + v as bits is the exponent's pattern plus v, for |v| < 2^51.
    const u64v shifted = bits_as<u64v>(integer + kRoundingShift);
    return (shifted - bits_as<std::uint64_t>(kRoundingShift)) & ring_mask;
  }

  u64v nearest(f64v x) const { return ring_element((scaled(x) + kRoundingShift) - kRoundingShift); }

  // Rounds up with probability ceil(2^32 * fraction) / 2^32: biased by less than 2^-32.
  u64v stochastic(f64v x, const std::uint32_t* random) const {
    const f64v y = scaled(x);
    f64v floor = (y + kRoundingShift) - kRoundingShift;
    floor = floor > y ? floor - 1.0 : floor;
    const f64v fraction = (y - floor) * 0x1p32;
    const u64v words = __builtin_convertvector(load<u32half>(random), u64v);
    const f64v draw = bits_as<f64v>(words | bits_as<std::uint64_t>(kTwoTo52)) - kTwoTo52;
    return ring_element(draw < fraction ? floor + 1.0 : floor);
  }
};

template <class Word>
inline void store_words(Word* out, u64v value) {
  if constexpr (sizeof(Word) == 8) {
    store(out, value);
  } else {
    store(out, __builtin_convertvector(value, u32half));
  }
}

// Returns nonzero if some x is NaN or infinite. `random` is null for rounding to nearest.
template <class Format, class Word>
inline std::uint64_t encode_block(const typename Format::Word* x, const std::uint32_t* random,
                                  std::size_t count, const Encoder& encoder, Word* out) {
  i64v bad = {};
  const auto step = [&](const typename Format::Word* from, const std::uint32_t* draws, Word* to) {
    const f64v value = Format::widen(from);
    bad |= (value - value) != 0.0;  // NaN for NaN and for infinity
    store_words(to, draws == nullptr ? encoder.nearest(value) : encoder.stochastic(value, draws));
  };
  std::size_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles) {
    step(x + i, random == nullptr ? nullptr : random + i, out + i);
  }
  if (i < count) {
    typename Format::Word last[kDoubles] = {};
    std::uint32_t draws[kDoubles] = {};
    Word words[kDoubles];
    std::memcpy(last, x + i, (count - i) * sizeof last[0]);
    if (random != nullptr) std::memcpy(draws, random + i, (count - i) * sizeof draws[0]);
    step(last, random == nullptr ? nullptr : draws, words);
    std::memcpy(out + i, words, (count - i) * sizeof words[0]);
  }
  std::uint64_t any = 0;
  for (std::size_t lane = 0; lane < kDoubles; ++lane) any |= static_cast<std::uint64_t>(bad[lane]);
  return any;
}

template <class Format>
inline std::uint64_t encode_format(const void* x, const std::uint32_t* random, std::size_t count,
                                   double inverse_granularity, double clip, unsigned ring_bits,
                                   void* out) {
  const Encoder encoder{inverse_granularity, clip, ~std::uint64_t{0} >> (64 - ring_bits)};
  const auto* words = static_cast<const typename Format::Word*>(x);
  if (ring_bits <= 32) {
    return encode_block<Format>(words, random, count, encoder, static_cast<std::uint32_t*>(out));
  }
  return encode_block<Format>(words, random, count, encoder, static_cast<std::uint64_t*>(out));
}

// Signed value of the low `ring_bits` bits of each word, times the granularity; returns nonzero if
// some magnitude is above `most`.
template <class Word, class Signed>
inline std::uint64_t decode_words(const Word* total, std::size_t count, double granularity,
                                  unsigned ring_bits, std::uint64_t most, double* out) {
  const unsigned unused = 8 * sizeof(Word) - ring_bits;
  std::uint64_t any = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Signed value =
        static_cast<Signed>(static_cast<Signed>(static_cast<Word>(total[i] << unused)) >> unused);
    const Word magnitude = static_cast<Word>(value < 0 ? Word{0} - static_cast<Word>(value)
                                                       : static_cast<Word>(value));
    any |= static_cast<std::uint64_t>(magnitude > most);
    out[i] = static_cast<double>(value) * granularity;
  }
  return any;
}

inline std::uint64_t decode_sum_u32(const std::uint32_t* total, std::size_t count,
                                    double granularity, unsigned ring_bits, std::uint64_t most,
                                    double* out) {
  return decode_words<std::uint32_t, std::int32_t>(total, count, granularity, ring_bits, most, out);
}

inline std::uint64_t decode_sum_u64(const std::uint64_t* total, std::size_t count,
                                    double granularity, unsigned ring_bits, std::uint64_t most,
                                    double* out) {
  return decode_words<std::uint64_t, std::int64_t>(total, count, granularity, ring_bits, most, out);
}
