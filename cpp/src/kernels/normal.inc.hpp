// Box-Muller on vectors: z = sqrt(-2 ln u) * (cos a, sin a), u from 64 random bits.
// Box & Muller, Ann. Math. Statist. 29 (1958). Only IEEE +, -, *, /, sqrt and exact conversions, in
// one fixed order and never fused, so that every instruction set gives the same bits.
//
// u in (0, 1) is held as its distance to the nearer end: t = (k + 1/2) / 2^64 with k < 2^63, and a
// sign bit that says u = t or u = 1 - t. Both ends keep full relative precision: the radius reaches
// sqrt(-2 ln 2^-65) = 9.49 and has no hole at zero.
//
// Polynomials: minimax on the reduced range (docs/design/normal_constants.py recomputes them).

inline f32v splat(float x) { return f32v{} + x; }
inline f64v splat(double x) { return f64v{} + x; }

inline f32v square_root(f32v x) {
#if defined(__AVX__)
  return (f32v)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
  return (f32v)_mm_sqrt_ps((__m128)x);
#else
  for (std::size_t i = 0; i < kVectorBytes / 4; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

inline f64v square_root(f64v x) {
#if defined(__AVX__)
  return (f64v)_mm256_sqrt_pd((__m256d)x);
#elif defined(__SSE2__)
  return (f64v)_mm_sqrt_pd((__m128d)x);
#else
  for (std::size_t i = 0; i < kVectorBytes / 8; ++i) x[i] = __builtin_sqrt(x[i]);
  return x;
#endif
}

// Lanes of `yes` where the sign bit of `sign` is set, else of `no`.
inline f32v select_by_sign(i32v sign, f32v yes, f32v no) { return (sign < 0) ? yes : no; }
inline f64v select_by_sign(i64v sign, f64v yes, f64v no) {
#if defined(__AVX2__)
  return (sign < 0) ? yes : no;
#else
  // SSE2 has no comparison of 64-bit integers: compilers would branch on every lane.
  const u64v mask = 0 - ((u64v)sign >> 63);
  return (f64v)(((u64v)yes & mask) | ((u64v)no & ~mask));
#endif
}

inline f32v to_float(i32v x) { return __builtin_convertvector(x, f32v); }

// int64 to double, correctly rounded: high half scaled by 2^32 and low half are each placed exactly
// below a power of two (2^84, 2^52); the one addition that rounds is the last.
inline f64v to_double(i64v x) {
  const f64v low = (f64v)(((u64v)x & 0xffffffffU) | 0x4330000000000000U);
  const f64v high = (f64v)(((u64v)x >> 32) ^ 0x4530000080000000U);
  return (high - splat(0x1p84 + 0x1p63 + 0x1p52)) + low;
}

// -2 ln u: sign bit of a: which end; 31 bits of a, then 32 of b: k.
inline f32v minus_two_log(u32v a, u32v b) {
  const f32v t = to_float((i32v)(a & 0x7fffffffU)) * 0x1p-32F +
                 (to_float((i32v)(b >> 16)) * 0x1p-48F +
                  (to_float((i32v)(b & 0xffffU)) * 0x1p-64F + 0x1p-65F));
  const f32v x = select_by_sign((i32v)a, splat(1.0F) - t, t);
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)); e = 0 happens only at the upper end, where m - 1
  // is -t exactly, while 1 - t above has rounded.
  const i32v shifted = (i32v)x - 0x3f3504f3;
  const i32v exponent = shifted >> 23;
  const f32v m = (f32v)((i32v)x - (i32v)((u32v)exponent << 23));
  const f32v f = select_by_sign(shifted, m - 1.0F, -t);
  const f32v square = f * f;
  const f32v p01 = f * 0.50001642F - 0.66666664F;
  const f32v p23 = f * 0.33246720F - 0.40002453F;
  const f32v p45 = f * 0.26320297F - 0.28403497F;
  const f32v p67 = f * 0.15269382F - 0.25523302F;
  const f32v p = (p01 + square * p23) + (square * square) * (p45 + square * p67);
  return to_float(exponent) * -1.3862944F + (-2.0F * f + (square + p * (square * f)));
}

// As above; sign bit and 63 bits of a.
inline f64v minus_two_log(u64v a) {
  const f64v t = (to_double((i64v)(a & 0x7fffffffffffffffU)) + 0.5) * 0x1p-64;
  const f64v x = select_by_sign((i64v)a, splat(1.0) - t, t);
  const u64v shifted = (u64v)x - 0x3fe6a09e667f3bcdU;
  const u64v biased = (shifted + (1023ULL << 52)) >> 52;  // e + 1023: stays positive, e >= -65
  const f64v m = (f64v)((u64v)x - ((biased - 1023) << 52));
  const f64v f = select_by_sign((i64v)shifted, m - 1.0, -t);
  const f64v exponent = (f64v)(biased | 0x4330000000000000U) - (0x1p52 + 1023);
  // ln(1 + f) = 2 atanh(s) = f - s * (f - z R(z)), s = f / (2 + f), z = s^2.
  const f64v s = f / (2.0 + f);
  const f64v z = s * s;
  const f64v square = z * z;
  const f64v r01 = 0.66666666666666660979 + z * 0.40000000000006242945;
  const f64v r23 = 0.28571428569087251305 + z * 0.22222222646580373296;
  const f64v r45 = 0.18181775683425352978 + z * 0.15387089954029900764;
  const f64v r67 = 0.13250136614991952845 + z * 0.13251158307804836986;
  const f64v r = (r01 + square * r23) + (square * square) * (r45 + square * r67);
  return exponent * -1.3862943611198906188 + -2.0 * (f - s * (f - z * r));
}

struct Pair32 {
  f32v cosine, sine;
};
struct Pair64 {
  f64v cosine, sine;
};

// A uniform point of the unit circle: 30 (62) bits of angle within a quarter turn about the axis,
// one bit that picks the axis, one that picks its end.
inline Pair32 circle(u32v c) {
  const f32v angle = to_float((i32v)(c << 2)) * 3.6572957e-10F;  // pi/4 * 2^-31
  const f32v z = angle * angle;
  const f32v square = z * z;
  f32v s = (z * 0.0083321608F - 0.16666655F) - square * 0.00019515281F;
  s = angle + (angle * z) * s;
  f32v k = (0.041666646F - z * 0.0013887316F) + square * 2.4433156e-05F;
  k = (1.0F - z * 0.5F) + square * k;
  k = (f32v)((u32v)k ^ (c & 0x80000000U));
  const i32v swap = (i32v)(c << 1);
  return {select_by_sign(swap, s, k), select_by_sign(swap, k, s)};
}

inline Pair64 circle(u64v c) {
  const f64v angle = to_double((i64v)(c << 2)) * 8.5153039502163873e-20;  // pi/4 * 2^-63
  const f64v z = angle * angle;
  const f64v square = z * z;
  const f64v s01 = z * 0.0083333333333221187462 - 0.16666666666666630731;
  const f64v s23 = z * 2.7557313621403682155e-6 - 0.00019841269829589613785;
  const f64v s45 = z * 1.5896230270538212208e-10 - 2.5050747765079868371e-8;
  f64v s = (s01 + square * s23) + (square * square) * s45;
  s = angle + (angle * z) * s;
  const f64v k01 = 0.041666666666666592919 - z * 0.0013888888888873056017;
  const f64v k23 = 0.000024801587288851515406 - z * 2.75573141792530929e-7;
  const f64v k45 = 2.0875700837071944704e-9 - z * 1.1358536304846256041e-11;
  f64v k = (k01 + square * k23) + (square * square) * k45;
  k = (1.0 - z * 0.5) + square * k;
  k = (f64v)((u64v)k ^ (c & 0x8000000000000000U));
  const i64v swap = (i64v)(c << 1);
  return {select_by_sign(swap, s, k), select_by_sign(swap, k, s)};
}

// One block: 16 pairs from 192 random bytes (u32 a[16], b[16], c[16]); 32 outputs, cosines first.
inline void normal_f32(const std::uint8_t* random, float* out, std::size_t blocks, float scale) {
  constexpr std::size_t lanes = kVectorBytes / 4;
  for (; blocks > 0; --blocks, random += 192, out += 32) {
    for (std::size_t i = 0; i < 16; i += lanes) {
      const auto a = load<u32v>(random + 4 * i);
      const auto b = load<u32v>(random + 64 + 4 * i);
      const auto c = load<u32v>(random + 128 + 4 * i);
      const f32v radius = square_root(minus_two_log(a, b)) * scale;
      const Pair32 point = circle(c);
      store(out + i, radius * point.cosine);
      store(out + 16 + i, radius * point.sine);
    }
  }
}

// One block: 8 pairs from 128 random bytes (u64 a[8], c[8]); 16 outputs, cosines first.
inline void normal_f64(const std::uint8_t* random, double* out, std::size_t blocks, double scale) {
  constexpr std::size_t lanes = kVectorBytes / 8;
  for (; blocks > 0; --blocks, random += 128, out += 16) {
    for (std::size_t i = 0; i < 8; i += lanes) {
      const auto a = load<u64v>(random + 8 * i);
      const auto c = load<u64v>(random + 64 + 8 * i);
      const f64v radius = square_root(minus_two_log(a)) * scale;
      const Pair64 point = circle(c);
      store(out + i, radius * point.cosine);
      store(out + 8 + i, radius * point.sine);
    }
  }
}
