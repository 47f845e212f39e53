// Vectors as wide as the instruction set, by GCC/Clang vector extensions.
// Included once per isa_*.cpp inside its own anonymous namespace; VEIL_VECTOR_BYTES is set there.

constexpr std::size_t kVectorBytes = VEIL_VECTOR_BYTES;

typedef std::uint8_t u8v __attribute__((vector_size(VEIL_VECTOR_BYTES)));
typedef std::uint32_t u32v __attribute__((vector_size(VEIL_VECTOR_BYTES)));
typedef std::int32_t i32v __attribute__((vector_size(VEIL_VECTOR_BYTES)));
typedef std::uint64_t u64v __attribute__((vector_size(VEIL_VECTOR_BYTES)));
typedef std::int64_t i64v __attribute__((vector_size(VEIL_VECTOR_BYTES)));
typedef float f32v __attribute__((vector_size(VEIL_VECTOR_BYTES)));
typedef double f64v __attribute__((vector_size(VEIL_VECTOR_BYTES)));

template <class V>
inline V load(const void* source) {
  V value;
  std::memcpy(&value, source, sizeof(V));
  return value;
}

template <class V>
inline void store(void* target, V value) {
  std::memcpy(target, &value, sizeof(V));
}

template <class To, class From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

// a < b ? a : b and a > b ? a : b, lane by lane; b where one is NaN, as x86's instructions have it.
inline f64v lesser(f64v a, f64v b) {
#if defined(__AVX__)
  return reinterpret_cast<f64v>(
      _mm256_min_pd(reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b)));
#else
  return a < b ? a : b;
#endif
}

inline f64v greater(f64v a, f64v b) {
#if defined(__AVX__)
  return reinterpret_cast<f64v>(
      _mm256_max_pd(reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b)));
#else
  return a > b ? a : b;
#endif
}
