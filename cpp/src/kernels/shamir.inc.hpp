// Shamir's scheme over GF(p), p = 2^31 + 11 (Shamir 1979): polynomial evaluation and weighted sums.
// Elements are canonical (< p) in memory, 32 bits each, and lazily reduced (< 2^32) in registers.

constexpr std::uint64_t kShamirPrime = 2147483659U;
constexpr std::uint64_t kLow31 = 0x7fffffffU;

// Low 32 bits of each 64-bit lane, multiplied to 64 bits.
inline u64v multiply_low32(u64v a, u64v b) {
#if defined(__AVX2__)
  return (u64v)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (u64v)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffU) * (b & 0xffffffffU);
#endif
}

// v < 2^60 in, a value congruent to v and below 2^32 out, if v >> 31 < 2^27. 2^31 = -11 (mod p);
// adding p first makes the high part at least 1, so that low + p - 11 * high <= 2^32 - 1.
inline u64v fold_short(u64v v) {
  v += kShamirPrime;
  const u64v high = v >> 31;
  return (v & kLow31) + kShamirPrime - high * 11U;
}

// out[i * lanes + l] = sum_j coefficients[j * lanes + l] * x[i]^j mod p, for x[i] < 2^16.
inline void shamir_evaluate(const std::uint32_t* coefficients, std::size_t threshold,
                            std::size_t lanes, const std::uint32_t* x, std::size_t points,
                            std::uint32_t* out) {
  constexpr std::size_t kWidth = kVectorBytes / 8;
  constexpr std::size_t kUnroll = 4;
  constexpr std::size_t kStep = kWidth * kUnroll;
  for (std::size_t first = 0; first < points; first += kStep) {
    const std::size_t count = points - first < kStep ? points - first : kStep;
    std::uint64_t at[kStep] = {};
    for (std::size_t i = 0; i < count; ++i) at[i] = x[first + i];
    u64v x_vector[kUnroll];
    for (std::size_t u = 0; u < kUnroll; ++u) x_vector[u] = load<u64v>(at + u * kWidth);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const u64v zero = {};
      u64v value[kUnroll] = {zero, zero, zero, zero};
      for (std::size_t j = threshold; j-- > 0;) {
        const std::uint64_t coefficient = coefficients[j * lanes + lane];
        // value * x + c < 2^48 + 2^32: fold_short's bound holds.
        for (std::size_t u = 0; u < kUnroll; ++u) {
          value[u] = fold_short(multiply_low32(value[u], x_vector[u]) + coefficient);
        }
      }
      std::uint64_t result[kStep];
      for (std::size_t u = 0; u < kUnroll; ++u) {
        const u64v over = (u64v)(value[u] >= kShamirPrime);
        store(result + u * kWidth, value[u] - (over & kShamirPrime));
      }
      for (std::size_t i = 0; i < count; ++i) {
        out[(first + i) * lanes + lane] = static_cast<std::uint32_t>(result[i]);
      }
    }
  }
}

// out[l] = sum_i weights[i] * shares[i * stride + l] mod p, for fewer than 2^27 shares.
inline void shamir_combine(const std::uint32_t* weights, const std::uint32_t* shares,
                           std::size_t count, std::size_t stride, std::size_t lanes,
                           std::uint32_t* out) {
  constexpr std::size_t kWidth = kVectorBytes / 8;
  for (std::size_t first = 0; first < lanes; first += kWidth) {
    const std::size_t width = lanes - first < kWidth ? lanes - first : kWidth;
    u64v total = {};
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t share[kWidth] = {};
      for (std::size_t l = 0; l < width; ++l) share[l] = shares[i * stride + first + l];
      const u64v weight = u64v{} + weights[i];
      const u64v product = multiply_low32(load<u64v>(share), weight);  // < p^2 < 2^63
      // high <= p^2 / 2^31 < 2p, so each term is below 2^31 + 22 p < 2^36.
      total += (product & kLow31) + (2 * kShamirPrime - (product >> 31)) * 11U;
    }
    std::uint64_t sum[kWidth];
    store(sum, total);
    for (std::size_t l = 0; l < width; ++l) {
      out[first + l] = static_cast<std::uint32_t>(sum[l] % kShamirPrime);
    }
  }
}
