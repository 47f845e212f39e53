// ChaCha20 (RFC 8439): each vector holds one state word of as many blocks as it has lanes; the
// lanes are turned into bytes of consecutive blocks at the end. The schedule is the initial state,
// 16 words, with a counter of 0.

constexpr std::size_t kChachaLanes = kVectorBytes / 4;

// Rotations by whole bytes are one byte shuffle where the set has one.
template <int kBits>
inline u32v rotate_left(u32v x) {
#if defined(__AVX2__)
  if constexpr (kBits == 16) {
    const auto order = _mm256_set_epi64x(0x0d0c0f0e09080b0a, 0x0504070601000302, 0x0d0c0f0e09080b0a,
                                         0x0504070601000302);
    return reinterpret_cast<u32v>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(x), order));
  } else if constexpr (kBits == 8) {
    const auto order = _mm256_set_epi64x(0x0e0d0c0f0a09080b, 0x0605040702010003, 0x0e0d0c0f0a09080b,
                                         0x0605040702010003);
    return reinterpret_cast<u32v>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(x), order));
  }
#endif
  return (x << kBits) | (x >> (32 - kBits));
}

inline void quarter_round(u32v& a, u32v& b, u32v& c, u32v& d) {
  a += b;
  d = rotate_left<16>(d ^ a);
  c += d;
  b = rotate_left<12>(b ^ c);
  a += b;
  d = rotate_left<8>(d ^ a);
  c += d;
  b = rotate_left<7>(b ^ c);
}

// Lane j of row i goes to lane i of row j.
inline void transpose_words(u32v* r) {
#if VEIL_VECTOR_BYTES == 32
  u32v t[8];
  for (int i = 0; i < 8; i += 4) {
    const u32v a = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    const u32v b = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    const u32v c = __builtin_shufflevector(r[i + 2], r[i + 3], 0, 8, 1, 9, 4, 12, 5, 13);
    const u32v d = __builtin_shufflevector(r[i + 2], r[i + 3], 2, 10, 3, 11, 6, 14, 7, 15);
    t[i] = __builtin_shufflevector(a, c, 0, 1, 8, 9, 4, 5, 12, 13);
    t[i + 1] = __builtin_shufflevector(a, c, 2, 3, 10, 11, 6, 7, 14, 15);
    t[i + 2] = __builtin_shufflevector(b, d, 0, 1, 8, 9, 4, 5, 12, 13);
    t[i + 3] = __builtin_shufflevector(b, d, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = __builtin_shufflevector(t[i], t[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = __builtin_shufflevector(t[i], t[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#else
  const u32v a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const u32v b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const u32v c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const u32v d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#endif
}

struct ChachaGenerator {
  static constexpr std::size_t kBlockBytes = 64;
  static constexpr std::size_t kBlocks = kChachaLanes;

  ChachaGenerator(const std::uint8_t* schedule, std::uint64_t, std::uint64_t low)
      : counters_(u32v{} + static_cast<std::uint32_t>(low)) {
    for (std::uint32_t i = 0; i < kBlocks; ++i) counters_[i] += i;
    std::memcpy(initial_, schedule, sizeof initial_);
  }
  ~ChachaGenerator() { wipe_scratch(reinterpret_cast<std::uint8_t*>(initial_), sizeof initial_); }

  template <class Sink>
  inline void stride(const Sink& sink, std::size_t at) {
    u32v x[16];
    for (int i = 0; i < 16; ++i) x[i] = u32v{} + initial_[i];
    x[12] = counters_;
    for (int double_round = 0; double_round < 10; ++double_round) {
      for (int i = 0; i < 4; ++i) quarter_round(x[i], x[i + 4], x[i + 8], x[i + 12]);
      for (int i = 0; i < 4; ++i) {
        quarter_round(x[i], x[4 + (i + 1) % 4], x[8 + (i + 2) % 4], x[12 + (i + 3) % 4]);
      }
    }
    for (int i = 0; i < 16; ++i) x[i] += initial_[i];
    x[12] += counters_;
    counters_ += static_cast<std::uint32_t>(kBlocks);
    for (std::size_t group = 0; group < 16; group += kChachaLanes) {
      transpose_words(x + group);
      for (std::size_t block = 0; block < kBlocks; ++block) {
        sink(at + 64 * block + 4 * group, x[group + block]);
      }
    }
  }

 private:
  u32v counters_;
  std::uint32_t initial_[16];
};

inline void chacha20_expand(const std::uint8_t* key, const std::uint8_t* nonce,
                            std::uint8_t* schedule) {
  constexpr std::uint32_t kConstants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  std::memcpy(schedule, kConstants, 16);
  std::memcpy(schedule + 16, key, 32);
  std::memset(schedule + 48, 0, 4);
  std::memcpy(schedule + 52, nonce + 4, 12);
}

constexpr StreamKernels kChacha20 = {
    .expand = chacha20_expand,
    .fill = stream_fill<ChachaGenerator>,
    .mask_add_u32 = stream_mask_add<ChachaGenerator, std::uint32_t>,
    .mask_add_u64 = stream_mask_add<ChachaGenerator, std::uint64_t>,
};
