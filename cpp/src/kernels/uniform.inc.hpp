// Uniform words to uniform floats, bounded integers, coin flips and Laplace variates.
// Needs normal.inc.hpp (its logarithm) before it.

// One block: 16 values from 64 random bytes; multiples of 2^-24 in [0, 1).
inline void uniform_f32(const std::uint8_t* random, float* out, std::size_t blocks) {
  constexpr std::size_t lanes = kVectorBytes / 4;
  for (std::size_t i = 0; i < 16 * blocks; i += lanes) {
    store(out + i, to_float((i32v)(load<u32v>(random + 4 * i) >> 8)) * 0x1p-24F);
  }
}

// One block: 8 values from 64 random bytes; multiples of 2^-53 in [0, 1).
inline void uniform_f64(const std::uint8_t* random, double* out, std::size_t blocks) {
  constexpr std::size_t lanes = kVectorBytes / 8;
  for (std::size_t i = 0; i < 8 * blocks; i += lanes) {
    store(out + i, to_double((i64v)(load<u64v>(random + 8 * i) >> 11)) * 0x1p-53);
  }
}

// One block: 16 values from 192 random bytes (u32 a[16], b[16], c[16]): -ln u with the sign of c.
inline void laplace_f32(const std::uint8_t* random, float* out, std::size_t blocks, float scale) {
  constexpr std::size_t lanes = kVectorBytes / 4;
  for (; blocks > 0; --blocks, random += 192, out += 16) {
    for (std::size_t i = 0; i < 16; i += lanes) {
      const auto a = load<u32v>(random + 4 * i);
      const auto b = load<u32v>(random + 64 + 4 * i);
      const auto sign = load<u32v>(random + 128 + 4 * i) & 0x80000000U;
      const f32v magnitude = minus_two_log(a, b) * 0.5F * scale;
      store(out + i, (u32v)magnitude ^ sign);
    }
  }
}

// One block: 8 values from 128 random bytes (u64 a[8], c[8]).
inline void laplace_f64(const std::uint8_t* random, double* out, std::size_t blocks, double scale) {
  constexpr std::size_t lanes = kVectorBytes / 8;
  for (; blocks > 0; --blocks, random += 128, out += 8) {
    for (std::size_t i = 0; i < 8; i += lanes) {
      const auto a = load<u64v>(random + 8 * i);
      const auto sign = load<u64v>(random + 64 + 8 * i) & 0x8000000000000000U;
      const f64v magnitude = minus_two_log(a) * 0.5 * scale;
      store(out + i, (u64v)magnitude ^ sign);
    }
  }
}

// One block: 1 value from 16 random bytes, floor(high * r / 2^128) for 128 random bits r. Each
// value has probability within 2^-128 of 1/high. Lemire, arXiv 1805.10941, without the rejection.
inline void integers_u64(const std::uint8_t* random, std::uint64_t* out, std::size_t blocks,
                         std::uint64_t high) {
  __extension__ typedef unsigned __int128 u128;
  for (std::size_t i = 0; i < blocks; ++i) {
    const auto low_word = load<std::uint64_t>(random + 16 * i);
    const auto high_word = load<std::uint64_t>(random + 16 * i + 8);
    const u128 carry = (u128{low_word} * high) >> 64;
    out[i] = static_cast<std::uint64_t>((u128{high_word} * high + carry) >> 64);
  }
}

// One block: 8 values from 64 random bytes: 1 with probability threshold / 2^64, else 0.
inline void bernoulli_u8(const std::uint8_t* random, std::uint8_t* out, std::size_t blocks,
                         std::uint64_t threshold) {
  for (std::size_t i = 0; i < 8 * blocks; ++i) {
    out[i] = load<std::uint64_t>(random + 8 * i) < threshold ? 1 : 0;
  }
}
