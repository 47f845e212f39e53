// Fused clip, scale, rounding to the lattice and reduction to the ring; and the way back.
// Needs vec.inc.hpp and floats.inc.hpp. All arithmetic is double: scaling by a power of two is
// exact, and so are floor and the fraction, so every instruction set gives the same bits.

// Adding and subtracting it rounds |y| < 2^51 to the nearest integer, ties to even.
constexpr double kRoundingShift = 0x1.8p52;
constexpr double kTwoTo52 = 0x1p52;

// GCC 12 makes four or five instructions of these conversions.
inline u64v widened(u32half words) {
#if defined(__AVX2__)
  return reinterpret_cast<u64v>(_mm256_cvtepu32_epi64(reinterpret_cast<__m128i>(words)));
#else
  return __builtin_convertvector(words, u64v);
#endif
}

inline u32half narrowed(u64v words) {
#if defined(__AVX2__)
  const __m256 both = reinterpret_cast<__m256>(words);
  return reinterpret_cast<u32half>(
      _mm_shuffle_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1), 0x88));
#else
  return __builtin_convertvector(words, u32half);
#endif
}

struct Encoder {
  double inverse_granularity;
  double clip;
  std::uint64_t ring_mask;

  f64v scaled(f64v x) const {
    const f64v high = f64v{} + clip;
    return greater(-high, lesser(high, x)) * inverse_granularity;
  }

  // 2^52 + 2^51 + v as bits is the exponent's pattern plus v, for |v| < 2^51: the integer of a
  // double that was shifted, modulo 2^64.
  static u64v shifted_integer(f64v shifted) {
    return bits_as<u64v>(shifted) - bits_as<std::uint64_t>(kRoundingShift);
  }

  u64v nearest(f64v x) const { return shifted_integer(scaled(x) + kRoundingShift) & ring_mask; }

  // Rounds up with probability ceil(2^32 * fraction) / 2^32: biased by less than 2^-32.
  u64v stochastic(f64v x, const std::uint32_t* random) const {
    const f64v y = scaled(x);
    const f64v shifted = y + kRoundingShift;
    const f64v rest = y - (shifted - kRoundingShift);  // exact, within [-1/2, 1/2]
    const i64v below = rest < 0.0;                     // -1 where the nearest is above y
    const f64v whole = bits_as<f64v>(bits_as<u64v>(below) & bits_as<std::uint64_t>(0x1p32));
    const f64v fraction = rest * 0x1p32 + whole;
    const u64v words = widened(load<u32half>(random));
    const f64v draw = bits_as<f64v>(words | bits_as<std::uint64_t>(kTwoTo52)) - kTwoTo52;
    const i64v up = draw < fraction;
    return (shifted_integer(shifted) + bits_as<u64v>(below) - bits_as<u64v>(up)) & ring_mask;
  }
};

template <class Word>
inline void store_words(Word* out, u64v value) {
  if constexpr (sizeof(Word) == 8) {
    store(out, value);
  } else {
    store(out, narrowed(value));
  }
}

// Returns nonzero if some x is NaN or infinite. `random` is null for rounding to nearest.
template <class Format, class Word>
inline std::uint64_t encode_block(const typename Format::Word* x, const std::uint32_t* random,
                                  std::size_t count, const Encoder& encoder, Word* out) {
  u64v bad = {};
  const auto step = [&](const typename Format::Word* from, const std::uint32_t* draws, Word* to) {
    const f64v value = Format::widen(from);
    bad |= bits_as<u64v>(value - value);  // +0, or NaN for NaN and for infinity
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
  for (std::size_t lane = 0; lane < kDoubles; ++lane) any |= bad[lane];
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
