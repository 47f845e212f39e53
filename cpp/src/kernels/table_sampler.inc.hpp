// Alias-table sampling (Walker 1977; Vose 1991) of magnitudes with a random sign.
// One block: 8 draws from 80 random bytes, u64 r[8] then u16 w[8]: the low bits of w choose a
// column, its top bit the sign; r against the column's threshold chooses the column or its alias.
// The same words, table reads and operations whatever is drawn.

#if defined(__AVX2__)
// Four words of 16 bits, each with its sign, in lanes of 64.
inline __m256i spread(std::int64_t words) {
  return _mm256_cvtepi16_epi64(_mm_cvtsi64_si128(words));
}
#endif

// Adds ((column or alias) << shift), signed, to out. Returns 0 unless some r equals its threshold's
// upper limb: those draws took the alias, and the caller settles them by the lower limb. AVX2 reads
// the tables one by one: its gathers take longer than four loads and the work to join them.
inline std::uint64_t table_add(const std::uint8_t* random, const std::uint64_t* threshold,
                               const std::uint16_t* alias, std::uint32_t mask, std::uint32_t shift,
                               std::int64_t* out, std::size_t blocks) {
#if defined(__AVX2__)
  const std::uint64_t columns = std::uint64_t{mask} * 0x0001'0001'0001'0001U;
  const __m256i top = _mm256_set1_epi64x(INT64_MIN);  // turns a signed comparison unsigned
  const __m128i count = _mm_cvtsi32_si128(static_cast<int>(shift));
  __m256i ties = _mm256_setzero_si256();
  for (; blocks > 0; --blocks, random += 80, out += 8) {
    for (std::size_t i = 0; i < 8; i += 4) {
      const auto r = (__m256i)load<i64v>(random + 8 * i);
      const auto w = load<std::int64_t>(random + 64 + 2 * i);
      const std::uint64_t four = static_cast<std::uint64_t>(w) & columns;
      const std::uint64_t a = four & 0xffff;
      const std::uint64_t b = four >> 16 & 0xffff;
      const std::uint64_t c = four >> 32 & 0xffff;
      const std::uint64_t d = four >> 48;
      const auto limit = (__m256i)u64v{threshold[a], threshold[b], threshold[c], threshold[d]};
      const std::uint64_t others = std::uint64_t{alias[a]} | std::uint64_t{alias[b]} << 16 |
                                   std::uint64_t{alias[c]} << 32 | std::uint64_t{alias[d]} << 48;
      const __m256i column = spread(static_cast<std::int64_t>(four));
      const __m256i other = spread(static_cast<std::int64_t>(others));
      const __m256i less =
          _mm256_cmpgt_epi64(_mm256_xor_si256(limit, top), _mm256_xor_si256(r, top));
      ties = _mm256_or_si256(ties, _mm256_cmpeq_epi64(r, limit));
      const __m256i magnitude = _mm256_blendv_epi8(other, column, less);
      const __m256i sign = _mm256_cmpgt_epi64(_mm256_setzero_si256(), spread(w));
      const __m256i value = _mm256_sub_epi64(_mm256_xor_si256(magnitude, sign), sign);
      store(out + i, load<i64v>(out + i) + (i64v)_mm256_sll_epi64(value, count));
    }
  }
  return _mm256_testz_si256(ties, ties) == 0 ? 1 : 0;
#else
  std::uint64_t ties = 0;
  for (; blocks > 0; --blocks, random += 80, out += 8) {
    for (std::size_t i = 0; i < 8; ++i) {
      const auto r = load<std::uint64_t>(random + 8 * i);
      const std::uint64_t w = load<std::uint16_t>(random + 64 + 2 * i);
      const std::uint64_t column = w & mask;
      const std::uint64_t limit = threshold[column];
      const std::uint64_t other = alias[column];
      ties |= r == limit ? 1U : 0U;
      const std::uint64_t less = 0U - static_cast<std::uint64_t>(r < limit);
      const std::uint64_t magnitude = other ^ ((other ^ column) & less);
      const std::uint64_t sign = 0U - (w >> 15);
      const std::uint64_t value = ((magnitude ^ sign) - sign) << shift;
      out[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(out[i]) + value);
    }
  }
  return ties;
#endif
}
