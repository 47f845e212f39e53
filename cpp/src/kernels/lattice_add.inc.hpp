// g (round(x / g) + noise): a float put on the lattice g Z with integer noise, for a power of two
// g. x / g is rounded to nearest, ties to even, and clamped to +-2^52; with |noise| <= 2^52 every
// step after that is exact. Needs vec.inc.hpp, floats.inc.hpp and lattice.inc.hpp.

inline f64v lattice_point(f64v x, f64v noise, double inverse, double granularity) {
  constexpr double kMost = 0x1p52;
  const u64v bits = bits_as<u64v>(x * inverse);
  const u64v sign = bits & 0x8000000000000000;
  f64v magnitude = bits_as<f64v>(bits ^ sign);
  magnitude = magnitude < kMost ? magnitude : kMost + f64v{};
  // Between 2^52 and 2^53 doubles are the integers: the sum rounds, the difference is exact.
  magnitude = (magnitude + kMost) - kMost;
  return (bits_as<f64v>(bits_as<u64v>(magnitude) | sign) + noise) * granularity;
}

// One vector of words.
template <class Format>
inline void lattice_add_lanes(const typename Format::Word* x, const std::int64_t* noise,
                              typename Format::Word* out, double inverse, double granularity) {
  double values[kDoubles];
  const f64v drawn = integer_to_double(load<u64v>(noise));
  store(values, lattice_point(Format::widen(x), drawn, inverse, granularity));
  Format::narrow(values, out, kDoubles);
}

// `x` and `out` are n words of the format, the same memory or apart.
template <class Format>
inline void lattice_add(const void* x, const std::int64_t* noise, void* out, std::size_t n,
                        double inverse, double granularity) {
  using Word = typename Format::Word;
  const auto* in = static_cast<const Word*>(x);
  auto* to = static_cast<Word*>(out);
  for (; n >= kDoubles; n -= kDoubles, in += kDoubles, to += kDoubles, noise += kDoubles) {
    lattice_add_lanes<Format>(in, noise, to, inverse, granularity);
  }
  if (n == 0) return;
  Word words[kDoubles] = {};
  std::int64_t integers[kDoubles] = {};
  std::memcpy(words, in, n * sizeof(Word));
  std::memcpy(integers, noise, n * sizeof(std::int64_t));
  lattice_add_lanes<Format>(words, integers, words, inverse, granularity);
  std::memcpy(to, words, n * sizeof(Word));
}
