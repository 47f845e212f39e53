// The four float formats that updates come in, as words: exact widening to double, and rounding
// back to nearest, ties to even. binary16 and bfloat16 as in IEEE 754-2019 §3.6.
// Needs vec.inc.hpp.

constexpr std::size_t kDoubles = kVectorBytes / sizeof(double);

typedef float f32half __attribute__((vector_size(VEIL_VECTOR_BYTES / 2)));
typedef std::uint32_t u32half __attribute__((vector_size(VEIL_VECTOR_BYTES / 2)));
typedef std::uint16_t u16quarter __attribute__((vector_size(VEIL_VECTOR_BYTES / 4)));
typedef std::int16_t i16v __attribute__((vector_size(VEIL_VECTOR_BYTES)));

inline f64v to_double(f32half value) {
#if defined(__AVX__)
  return _mm256_cvtps_pd(value);  // GCC 12 splits the builtin in two halves
#else
  return __builtin_convertvector(value, f64v);
#endif
}

// `value` to float, rounded to odd: a second rounding to a narrower format is then correct
// (Boldo and Melquiond 2008). The caller's value is finite.
inline std::uint32_t float_bits_round_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  std::uint32_t bits = bits_as<std::uint32_t>(nearest);
  const double back = static_cast<double>(nearest);
  if (back == value) return bits;
  const bool away = value > 0 ? back > value : back < value;
  return (away ? bits - 1 : bits) | 1U;
}

inline std::uint16_t round_to_bfloat16(double value) {
  const std::uint32_t bits = float_bits_round_to_odd(value);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

inline std::uint16_t round_to_float16(double value) {
  const std::uint32_t bits = float_bits_round_to_odd(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7c00U);  // >= 2^16
  if (magnitude < 0x38800000U) {  // below 2^-14: subnormal, a multiple of 2^-24, which is the ulp
    const float shifted = bits_as<float>(magnitude) + 0.5F;  // of [0.5, 1)
    return static_cast<std::uint16_t>(sign | (bits_as<std::uint32_t>(shifted) - 0x3f000000U));
  }
  const std::uint32_t rebiased = magnitude - (112U << 23);
  return static_cast<std::uint16_t>(sign | ((rebiased + 0xfffU + ((rebiased >> 13) & 1U)) >> 13));
}

// Each format: Word is its storage, Words a vector of them (signed, so that magnitudes compare),
// kMagnitude clears the sign, and magnitudes from kInfinity on are infinity or NaN.
struct Float32 {
  using Word = std::uint32_t;
  using Words = i32v;
  static constexpr std::int32_t kMagnitude = 0x7fffffff;
  static constexpr std::int32_t kInfinity = 0x7f800000;
  static f64v widen(const Word* words) { return to_double(load<f32half>(words)); }
  static void narrow(const double* values, Word* words, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      words[i] = bits_as<Word>(static_cast<float>(values[i]));
    }
  }
};

struct Float64 {
  using Word = std::uint64_t;
  using Words = i64v;
  static constexpr std::int64_t kMagnitude = 0x7fffffffffffffff;
  static constexpr std::int64_t kInfinity = 0x7ff0000000000000;
  static f64v widen(const Word* words) { return load<f64v>(words); }
  static void narrow(const double* values, Word* words, std::size_t count) {
    std::memcpy(words, values, count * sizeof(double));
  }
};

struct Float16 {
  using Word = std::uint16_t;
  using Words = i16v;
  static constexpr std::int16_t kMagnitude = 0x7fff;
  static constexpr std::int16_t kInfinity = 0x7c00;
  static f64v widen(const Word* words) {
#if defined(__F16C__)
    return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(words))));
#else
    // In integers, and never by a subnormal, which may be taken for zero: those of float16 are the
    // fraction below 2^-14, less 2^-14. Differences below zero give all ones.
    const u64v wide = __builtin_convertvector(load<u16quarter>(words), u64v);
    const u64v magnitude = wide & 0x7fff;
    const u64v small = 0 - ((magnitude - 0x0400) >> 63);
    const u64v biased = (magnitude << 42) + (1008ULL << 52) + (small & (1ULL << 52));
    const f64v value = bits_as<f64v>(biased) - bits_as<f64v>(small & (1009ULL << 52));
    // Infinity and NaN keep their fraction and take double's greatest exponent.
    const u64v not_finite = (0 - ((0x7bff - magnitude) >> 63)) & (0x7ffULL << 52);
    return bits_as<f64v>(bits_as<u64v>(value) | not_finite | (wide & 0x8000) << 48);
#endif
  }
  static void narrow(const double* values, Word* words, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) words[i] = round_to_float16(values[i]);
  }
};

struct BFloat16 {
  using Word = std::uint16_t;
  using Words = i16v;
  static constexpr std::int16_t kMagnitude = 0x7fff;
  static constexpr std::int16_t kInfinity = 0x7f80;
  static f64v widen(const Word* words) {
    const u32half wide = __builtin_convertvector(load<u16quarter>(words), u32half) << 16;
    return to_double(bits_as<f32half>(wide));
  }
  static void narrow(const double* values, Word* words, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) words[i] = round_to_bfloat16(values[i]);
  }
};
