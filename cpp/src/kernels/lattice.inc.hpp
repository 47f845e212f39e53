// Doubles as points of a power-of-two lattice: adding 1.5*2^E to a value below 2^(E-1) rounds it,
// to nearest and ties to even, to a multiple of 2^(E-52) that the low bits of the sum count.
// Needs vec.inc.hpp.

constexpr std::uint64_t kExponent = 0x7ff0000000000000;
constexpr std::uint64_t kHalfway = 0x0008000000000000;  // turns the bits of 2^E into 1.5*2^E
constexpr std::uint64_t kLeastNormal = 0x0010000000000000;

// Bits of 2^E for a magnitude in [2^E, 2^(E+1)); at least 2^-1022, whose lattice of 2^-1074 holds
// every double.
inline u64v power_below(f64v magnitude) {
  const u64v exponent = bits_as<u64v>(magnitude) & kExponent;
  return exponent == 0 ? exponent | kLeastNormal : exponent;
}

// int64 to double, rounded once: both halves become exact doubles, then one addition.
inline f64v integer_to_double(u64v integer) {
  const u64v high = (integer >> 32) ^ 0x4530000080000000;        // 2^84 + 2^63 + high*2^32
  const u64v low = (integer & 0xffffffff) | 0x4330000000000000;  // 2^52 + low
  return (bits_as<f64v>(high) - 0x1.00000801p+84) + bits_as<f64v>(low);
}

// Lane by lane; one instruction each. A NaN in `a` gives `b`.
inline f64v greatest(f64v a, f64v b) {
#if defined(__AVX__)
  return _mm256_max_pd(a, b);  // GCC 12 makes two instructions of the selection
#else
  return a > b ? a : b;
#endif
}

inline f64v least(f64v a, f64v b) {
#if defined(__AVX__)
  return _mm256_min_pd(a, b);
#else
  return a < b ? a : b;
#endif
}
