// The cell of an interval that each value falls into: comparisons and selects, no branch.
// Needs vec.inc.hpp and floats.inc.hpp.

typedef std::int32_t i32half __attribute__((vector_size(VEIL_VECTOR_BYTES / 2)));

inline i32half truncate(f64v value) {
#if defined(__AVX__)
  return (i32half)_mm256_cvttpd_epi32(value);
#else
  return __builtin_convertvector(value, i32half);
#endif
}

// 1 + min(last, (x - low) * scale) rounded down for x in [low, high]; below, above and not finite:
// 0, last + 2, last + 3.
inline i32half cell_slot(f64v x, double low, double high, double scale, double last) {
  f64v t = (x - low) * scale;
  t = t < last ? t : last + f64v{};  // false for NaN
  t = x < low ? f64v{} - 1.0 : t;
  t = x > high ? last + 1.0 + f64v{} : t;
  t = x - x == 0.0 ? t : last + 2.0 + f64v{};
  return truncate(t + 1.0);
}

// `last` + 3 is below 2^31.
template <class Format>
inline void cell_slots(const void* x, std::int32_t* slots, std::size_t n, double low, double high,
                       double scale, double last) {
  using Word = typename Format::Word;
  const auto* in = static_cast<const Word*>(x);
  for (; n >= kDoubles; n -= kDoubles, in += kDoubles, slots += kDoubles) {
    store(slots, cell_slot(Format::widen(in), low, high, scale, last));
  }
  if (n == 0) return;
  Word words[kDoubles] = {};
  std::int32_t found[kDoubles];
  std::memcpy(words, in, n * sizeof(Word));
  store(found, cell_slot(Format::widen(words), low, high, scale, last));
  std::memcpy(slots, found, n * sizeof(std::int32_t));
}
