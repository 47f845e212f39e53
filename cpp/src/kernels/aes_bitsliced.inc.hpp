// AES-256 (FIPS 197) without tables: a stride is held as 8 bit planes, so every step is a fixed
// sequence of logic operations. Each 64-bit lane of a plane has one bit of 4 blocks' 64 bytes:
// bit 16·row + 4·column + block. S-box circuit: Boyar and Peralta, eprint 2009/191.

constexpr std::size_t kLanes = kVectorBytes / 8;
constexpr std::size_t kSlicedBlocks = 4 * kLanes;

struct Planes {
  u64v q[8];
};

// Exchanges the high bits of each 2·kShift of a with the low ones of b.
template <int kShift>
inline void swap_bits(u64v& a, u64v& b, std::uint64_t low) {
  const u64v t = ((a >> kShift) ^ b) & low;
  b ^= t;
  a ^= t << kShift;
}

// Transposes the 8×8 bit matrices that lie across the planes; its own inverse.
inline void transpose_bits(Planes& p) {
  constexpr std::uint64_t k1 = 0x5555555555555555;
  constexpr std::uint64_t k2 = 0x3333333333333333;
  constexpr std::uint64_t k4 = 0x0f0f0f0f0f0f0f0f;
  for (int i = 0; i < 8; i += 2) swap_bits<1>(p.q[i], p.q[i + 1], k1);
  for (int i = 0; i < 4; ++i) swap_bits<2>(p.q[i + (i & 2)], p.q[i + (i & 2) + 2], k2);
  for (int i = 0; i < 4; ++i) swap_bits<4>(p.q[i], p.q[i + 4], k4);
}

// Moves byte r of a 32-bit word (a column) to byte 2r: 16 bits per row.
inline u64v spread(u64v column) {
  column = (column | (column << 16)) & 0x0000ffff0000ffff;
  return (column | (column << 8)) & 0x00ff00ff00ff00ff;
}

inline u64v gather(u64v rows) {
  rows &= 0x00ff00ff00ff00ff;
  rows = (rows | (rows >> 8)) & 0x0000ffff0000ffff;
  return (rows | (rows >> 16)) & 0x00000000ffffffff;
}

// columns[4·block + column], one lane per group of 4 blocks.
inline void slice(const u64v* columns, Planes& p) {
  for (int block = 0; block < 4; ++block) {
    const u64v* c = columns + 4 * block;
    p.q[block] = spread(c[0]) | (spread(c[2]) << 8);
    p.q[block + 4] = spread(c[1]) | (spread(c[3]) << 8);
  }
  transpose_bits(p);
}

inline void unslice(Planes& p, u64v* columns) {
  transpose_bits(p);
  for (int block = 0; block < 4; ++block) {
    u64v* c = columns + 4 * block;
    c[0] = gather(p.q[block]);
    c[1] = gather(p.q[block + 4]);
    c[2] = gather(p.q[block] >> 8);
    c[3] = gather(p.q[block + 4] >> 8);
  }
}

inline void sub_bytes(Planes& p) {
  const u64v x0 = p.q[7], x1 = p.q[6], x2 = p.q[5], x3 = p.q[4];
  const u64v x4 = p.q[3], x5 = p.q[2], x6 = p.q[1], x7 = p.q[0];
  // Top linear layer.
  const u64v y14 = x3 ^ x5, y13 = x0 ^ x6, y9 = x0 ^ x3, y8 = x0 ^ x5, t0 = x1 ^ x2;
  const u64v y1 = t0 ^ x7, y4 = y1 ^ x3, y12 = y13 ^ y14, y2 = y1 ^ x0, y5 = y1 ^ x6;
  const u64v y3 = y5 ^ y8, t1 = x4 ^ y12, y15 = t1 ^ x5, y20 = t1 ^ x1, y6 = y15 ^ x7;
  const u64v y10 = y15 ^ t0, y11 = y20 ^ y9, y7 = x7 ^ y11, y17 = y10 ^ y11, y19 = y10 ^ y8;
  const u64v y16 = t0 ^ y11, y21 = y13 ^ y16, y18 = x0 ^ y16;
  // Inversion in GF(2^4)^2.
  const u64v t2 = y12 & y15, t4 = (y3 & y6) ^ t2, t6 = (y4 & x7) ^ t2, t7 = y13 & y16;
  const u64v t9 = (y5 & y1) ^ t7, t11 = (y2 & y7) ^ t7, t12 = y9 & y11;
  const u64v t14 = (y14 & y17) ^ t12, t16 = (y8 & y10) ^ t12;
  const u64v t21 = t4 ^ t14 ^ y20, t22 = t6 ^ t16 ^ y19, t23 = t9 ^ t14 ^ y21;
  const u64v t24 = t11 ^ t16 ^ y18, t25 = t21 ^ t22, t26 = t21 & t23, t27 = t24 ^ t26;
  const u64v t29 = (t25 & t27) ^ t22, t30 = t23 ^ t24, t31 = t22 ^ t26;
  const u64v t33 = (t31 & t30) ^ t24, t34 = t23 ^ t33, t35 = t27 ^ t33, t36 = t24 & t35;
  const u64v t37 = t36 ^ t34, t38 = t27 ^ t36, t40 = t25 ^ (t29 & t38), t41 = t40 ^ t37;
  const u64v t42 = t29 ^ t33, t43 = t29 ^ t40, t44 = t33 ^ t37, t45 = t42 ^ t41;
  const u64v z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & x7, z3 = t43 & y16, z4 = t40 & y1;
  const u64v z5 = t29 & y7, z6 = t42 & y11, z7 = t45 & y17, z8 = t41 & y10, z9 = t44 & y12;
  const u64v z10 = t37 & y3, z11 = t33 & y4, z12 = t43 & y13, z13 = t40 & y5, z14 = t29 & y2;
  const u64v z15 = t42 & y9, z16 = t45 & y14, z17 = t41 & y8;
  // Bottom linear layer; the complements are the affine constant 0x63.
  const u64v t46 = z15 ^ z16, t48 = z5 ^ z13, t50 = z2 ^ z12, t53 = z0 ^ z3, t54 = z6 ^ z7;
  const u64v t57 = t50 ^ t53, t58 = z4 ^ t46, t59 = z3 ^ t54, t60 = t46 ^ t57, t61 = z14 ^ t57;
  const u64v t62 = z7 ^ z8 ^ t58, t63 = z9 ^ z10 ^ t58, t64 = z4 ^ t59, t65 = t61 ^ t62;
  const u64v t66 = z1 ^ t63, s3 = t53 ^ t66;
  p.q[7] = t59 ^ t63;
  p.q[6] = t64 ^ ~s3;
  p.q[5] = z16 ^ z17 ^ ~(t64 ^ t65);
  p.q[4] = s3;
  p.q[3] = z2 ^ z5 ^ t66;
  p.q[2] = z10 ^ z11 ^ t65;
  p.q[1] = z12 ^ t48 ^ ~t62;
  p.q[0] = t48 ^ ~t60;
}

// Row r turns left by r columns: 4r bits within its 16.
inline void shift_rows(Planes& p) {
  for (u64v& x : p.q) {
    x = (x & 0x000000000000ffff) | ((x & 0x00000000fff00000) >> 4) |
        ((x & 0x00000000000f0000) << 12) | ((x & 0x0000ff0000000000) >> 8) |
        ((x & 0x000000ff00000000) << 8) | ((x & 0xf000000000000000) >> 12) |
        ((x & 0x0fff000000000000) << 4);
  }
}

// With a' the next row down: 2(a ^ a') ^ a' ^ (the same pair two rows down).
inline void mix_columns(Planes& p) {
  u64v next[8], both[8];
  for (int i = 0; i < 8; ++i) {
    next[i] = (p.q[i] >> 16) | (p.q[i] << 48);
    both[i] = p.q[i] ^ next[i];
  }
  for (int i = 0; i < 8; ++i) {
    u64v x = next[i] ^ ((both[i] >> 32) | (both[i] << 32));
    if (i > 0) x ^= both[i - 1];
    if (i == 0 || i == 1 || i == 3 || i == 4) x ^= both[7];  // x^8 = x^4 + x^3 + x + 1
    p.q[i] = x;
  }
}

inline void add_round_key(Planes& p, const std::uint8_t* round_key) {
  for (int i = 0; i < 8; ++i) {
    p.q[i] ^= load<std::uint64_t>(round_key + 8 * i);
  }
}

inline std::uint32_t sub_word(std::uint32_t word) {
  u64v columns[16] = {};
  columns[0][0] = word;
  Planes p;
  slice(columns, p);
  sub_bytes(p);
  unslice(p, columns);
  return static_cast<std::uint32_t>(columns[0][0]);
}

struct AesGenerator {
  static constexpr std::size_t kBlockBytes = 16;
  static constexpr std::size_t kBlocks = kSlicedBlocks;

  AesGenerator(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low)
      : schedule_(schedule), high_(high), low_(low) {}

  template <class Sink>
  inline void stride(const Sink& sink, std::size_t at) {
    u64v columns[16];
    load_counters(columns);
    Planes p;
    slice(columns, p);
    add_round_key(p, schedule_);
    for (int round = 1; round < 14; ++round) {
      sub_bytes(p);
      shift_rows(p);
      mix_columns(p);
      add_round_key(p, schedule_ + 64 * round);
    }
    sub_bytes(p);
    shift_rows(p);
    add_round_key(p, schedule_ + 64 * 14);
    unslice(p, columns);
    for (std::size_t block = 0; block < kBlocks; ++block) {
      const u64v* c = columns + 4 * (block % 4);
      const std::size_t lane = block / 4;
      const std::uint64_t halves[2] = {c[0][lane] | (c[1][lane] << 32),
                                       c[2][lane] | (c[3][lane] << 32)};
      sink(at + 16 * block, load<u8x16>(halves));
    }
  }

 private:
  // The counter is big-endian: its most significant 32 bits are column 0, byte-swapped.
  inline void load_counters(u64v* columns) {
    std::uint64_t words[16][kLanes];
    for (std::size_t block = 0; block < kBlocks; ++block, ++low_) {
      const std::uint64_t high = __builtin_bswap64(high_), low = __builtin_bswap64(low_);
      const std::size_t first = 4 * (block % 4), lane = block / 4;
      words[first][lane] = high & 0xffffffff;
      words[first + 1][lane] = high >> 32;
      words[first + 2][lane] = low & 0xffffffff;
      words[first + 3][lane] = low >> 32;
    }
    for (int i = 0; i < 16; ++i) columns[i] = load<u64v>(words[i]);
  }

  const std::uint8_t* schedule_;
  std::uint64_t high_, low_;
};

inline void slice_round_key(const std::uint32_t* words, std::uint8_t* out) {
  u64v columns[16];
  for (int i = 0; i < 16; ++i) columns[i] = u64v{} + words[i % 4];
  Planes p;
  slice(columns, p);
  for (int i = 0; i < 8; ++i) store(out + 8 * i, static_cast<std::uint64_t>(p.q[i][0]));
}

inline void aes256_expand(const std::uint8_t* key, const std::uint8_t*, std::uint8_t* schedule) {
  std::uint32_t w[60];
  std::memcpy(w, key, 32);
  std::uint32_t round_constant = 1;
  for (int i = 8; i < 60; ++i) {
    std::uint32_t t = w[i - 1];
    if (i % 8 == 0) {
      t = sub_word((t >> 8) | (t << 24)) ^ round_constant;
      round_constant <<= 1;
    } else if (i % 8 == 4) {
      t = sub_word(t);
    }
    w[i] = w[i - 8] ^ t;
  }
  for (int round = 0; round < 15; ++round) slice_round_key(w + 4 * round, schedule + 64 * round);
  wipe_scratch(reinterpret_cast<std::uint8_t*>(w), sizeof w);
}
