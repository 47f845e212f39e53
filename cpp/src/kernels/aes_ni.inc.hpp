// AES-256 (FIPS 197) by the CPU's round instructions: one block per register with AES-NI, two with
// VAES. Eight registers in flight cover the latency (4) times throughput (2 per cycle) of a round.

#if defined(__VAES__)
typedef __m256i aesv;
inline aesv aes_round(aesv s, aesv k) { return _mm256_aesenc_epi128(s, k); }
inline aesv aes_last_round(aesv s, aesv k) { return _mm256_aesenclast_epi128(s, k); }
inline aesv aes_xor(aesv a, aesv b) { return _mm256_xor_si256(a, b); }
inline aesv aes_add64(aesv a, aesv b) { return _mm256_add_epi64(a, b); }
inline aesv aes_every(__m128i block) { return _mm256_broadcastsi128_si256(block); }
inline aesv aes_byteswap(aesv a) {
  return _mm256_shuffle_epi8(a, aes_every(_mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f)));
}
inline aesv aes_first_counters(std::uint64_t high, std::uint64_t low) {
  const auto h = static_cast<long long>(high), l = static_cast<long long>(low);
  return _mm256_set_epi64x(h, static_cast<long long>(low + 1), h, l);
}
#else
typedef __m128i aesv;
inline aesv aes_round(aesv s, aesv k) { return _mm_aesenc_si128(s, k); }
inline aesv aes_last_round(aesv s, aesv k) { return _mm_aesenclast_si128(s, k); }
inline aesv aes_xor(aesv a, aesv b) { return _mm_xor_si128(a, b); }
inline aesv aes_add64(aesv a, aesv b) { return _mm_add_epi64(a, b); }
inline aesv aes_every(__m128i block) { return block; }
inline aesv aes_byteswap(aesv a) {
  return _mm_shuffle_epi8(a, _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f));
}
inline aesv aes_first_counters(std::uint64_t high, std::uint64_t low) {
  return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}
#endif

inline __m128i load_block(const std::uint8_t* source) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
}

struct AesGenerator {
  static constexpr std::size_t kBlockBytes = 16;
  static constexpr int kFlight = 8;
  static constexpr std::size_t kBlocks = kFlight * sizeof(aesv) / kBlockBytes;

  AesGenerator(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low)
      : schedule_(schedule), counters_(aes_first_counters(high, low)) {}

  template <class Sink>
  inline void stride(const Sink& sink, std::size_t at) {
    const aesv step = aes_every(_mm_set_epi64x(0, sizeof(aesv) / kBlockBytes));
    aesv s[kFlight];
    const aesv whitening = aes_every(load_block(schedule_));
#pragma GCC unroll 8
    for (int i = 0; i < kFlight; ++i) {
      s[i] = aes_xor(aes_byteswap(counters_), whitening);
      counters_ = aes_add64(counters_, step);
    }
#pragma GCC unroll 13
    for (int round = 1; round < 14; ++round) {
      const aesv key = aes_every(load_block(schedule_ + 16 * round));
#pragma GCC unroll 8
      for (int i = 0; i < kFlight; ++i) s[i] = aes_round(s[i], key);
    }
    const aesv key = aes_every(load_block(schedule_ + 16 * 14));
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kFlight; ++i) {
      sink(at + sizeof(aesv) * i, aes_last_round(s[i], key));
    }
  }

 private:
  const std::uint8_t* schedule_;
  aesv counters_;  // low and high words swapped back to little-endian lanes
};

// Running XOR of the four words: w0, w0^w1, w0^w1^w2, w0^w1^w2^w3.
inline __m128i prefix_xor(__m128i words) {
  words = _mm_xor_si128(words, _mm_slli_si128(words, 4));
  return _mm_xor_si128(words, _mm_slli_si128(words, 8));
}

template <int kRoundConstant>
inline void expand_pair(__m128i& even, __m128i& odd, std::uint8_t* schedule, int at) {
  const __m128i rotated = _mm_aeskeygenassist_si128(odd, kRoundConstant);
  even = _mm_xor_si128(prefix_xor(even), _mm_shuffle_epi32(rotated, 0xff));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(schedule + 16 * at), even);
  if (at == 14) return;
  const __m128i plain = _mm_aeskeygenassist_si128(even, 0);
  odd = _mm_xor_si128(prefix_xor(odd), _mm_shuffle_epi32(plain, 0xaa));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(schedule + 16 * at + 16), odd);
}

inline void aes256_expand(const std::uint8_t* key, const std::uint8_t*, std::uint8_t* schedule) {
  __m128i even = load_block(key), odd = load_block(key + 16);
  std::memcpy(schedule, key, 32);
  expand_pair<0x01>(even, odd, schedule, 2);
  expand_pair<0x02>(even, odd, schedule, 4);
  expand_pair<0x04>(even, odd, schedule, 6);
  expand_pair<0x08>(even, odd, schedule, 8);
  expand_pair<0x10>(even, odd, schedule, 10);
  expand_pair<0x20>(even, odd, schedule, 12);
  expand_pair<0x40>(even, odd, schedule, 14);
}
