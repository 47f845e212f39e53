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

constexpr int kFlight = 8;

// Rounds [kFirst, kEnd) of all blocks in flight; round 0 is the whitening, 14 the last.
template <int kFirst, int kEnd>
inline void aes_rounds(aesv (&s)[kFlight], const std::uint8_t* schedule) {
#pragma GCC unroll 14
  for (int round = kFirst; round < kEnd; ++round) {
    const aesv key = aes_every(load_block(schedule + 16 * round));
#pragma GCC unroll 8
    for (int i = 0; i < kFlight; ++i) s[i] = aes_round(s[i], key);
  }
}

template <class Sink>
inline void aes_finish(const aesv (&s)[kFlight], const std::uint8_t* schedule, const Sink& sink,
                       std::size_t at) {
  const aesv key = aes_every(load_block(schedule + 16 * 14));
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kFlight; ++i) {
    sink(at + sizeof(aesv) * i, aes_last_round(s[i], key));
  }
}

struct AesBulkGenerator;

struct AesGenerator {
  static constexpr std::size_t kBlockBytes = 16;
  static constexpr std::size_t kBlocks = kFlight * sizeof(aesv) / kBlockBytes;
  using Bulk = AesBulkGenerator;

  AesGenerator(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low)
      : schedule_(schedule), counters_(aes_first_counters(high, low)) {}

  template <class Sink>
  inline void stride(const Sink& sink, std::size_t at) {
    aesv s[kFlight];
    whiten(s);
    aes_rounds<1, 14>(s, schedule_);
    aes_finish(s, schedule_, sink, at);
  }

  // Round 0 of the next kBlocks blocks.
  inline void whiten(aesv (&s)[kFlight]) {
    const aesv step = aes_every(_mm_set_epi64x(0, sizeof(aesv) / kBlockBytes));
    const aesv whitening = aes_every(load_block(schedule_));
#pragma GCC unroll 8
    for (int i = 0; i < kFlight; ++i) {
      s[i] = aes_xor(aes_byteswap(counters_), whitening);
      counters_ = aes_add64(counters_, step);
    }
  }

 private:
  const std::uint8_t* schedule_;
  aesv counters_;  // low and high words swapped back to little-endian lanes
};

// Long runs, by counter-mode caching (Bernstein and Schwabe, "New AES software speed records",
// 2008, section 3.2): the counter's lowest byte reaches one column in round 1, and the state after
// round 2 is a sum over bytes of that state. So within 2^40 blocks
//   state2(upper, b) = state2(upper, 0) ^ state2(first, b) ^ state2(first, 0)
// for the lowest byte b, and rounds 0 to 2 cost a load and an xor. The table is read in the order
// of the counter, which is public: no address depends on the key.
struct AesBulkGenerator {
  static constexpr std::size_t kBlockBytes = AesGenerator::kBlockBytes;
  static constexpr std::size_t kBlocks = AesGenerator::kBlocks;
  static constexpr std::size_t kRun = 256;
  // Below it the table costs more than it saves.
  static constexpr std::size_t kLeastBlocks = 512;

  // The first block is a multiple of kBlocks.
  AesBulkGenerator(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low)
      : schedule_(schedule), high_(high), run_(low & ~std::uint64_t{kRun - 1}), at_(low % kRun) {
    AesGenerator counters(schedule, high, run_);
    for (std::size_t b = 0; b < kRun; b += kBlocks) {
      aesv s[kFlight];
      counters.whiten(s);
      aes_rounds<1, 3>(s, schedule);
      for (std::size_t i = 0; i < kFlight; ++i) store(entry(b) + sizeof(aesv) * i, s[i]);
    }
    first_ = load_block(table_);
    change_ = aes_every(_mm_setzero_si128());
  }
  AesBulkGenerator(const AesBulkGenerator&) = delete;
  AesBulkGenerator& operator=(const AesBulkGenerator&) = delete;
  ~AesBulkGenerator() { wipe_scratch(table_, sizeof table_); }

  static bool fits(std::uint64_t low, std::size_t blocks) {
    return blocks >= kLeastBlocks && low >> 40 == (low + blocks - 1) >> 40;
  }

  template <class Sink>
  inline void stride(const Sink& sink, std::size_t at) {
    if (at_ == kRun) next_run();
    aesv s[kFlight];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kFlight; ++i) {
      s[i] = aes_xor(load<aesv>(entry(at_) + sizeof(aesv) * i), change_);
    }
    at_ += kBlocks;
    aes_rounds<3, 14>(s, schedule_);
    aes_finish(s, schedule_, sink, at);
  }

 private:
  std::uint8_t* entry(std::size_t b) { return table_ + kBlockBytes * b; }

  void next_run() {
    run_ += kRun;
    at_ = 0;
    __m128i s = _mm_set_epi64x(static_cast<long long>(__builtin_bswap64(run_)),
                               static_cast<long long>(__builtin_bswap64(high_)));
    s = _mm_xor_si128(s, load_block(schedule_));
    s = _mm_aesenc_si128(s, load_block(schedule_ + 16));
    s = _mm_aesenc_si128(s, load_block(schedule_ + 32));
    change_ = aes_every(_mm_xor_si128(s, first_));
  }

  const std::uint8_t* schedule_;
  std::uint64_t high_;
  std::uint64_t run_;  // the counter at the first entry
  std::size_t at_;
  __m128i first_;
  aesv change_;
  alignas(64) std::uint8_t table_[kRun * kBlockBytes];
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
