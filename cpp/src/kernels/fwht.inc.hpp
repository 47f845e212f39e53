// The fast Walsh-Hadamard transform (Fino and Algazi 1976): for h = 1, 2, 4, ... the pair
// (x[i], x[i + h]) becomes (x[i] + x[i + h], x[i] - x[i + h]).
// Needs vec.inc.hpp.
//
// Every value of a stage is one sum of two values of the stage before: neither blocks, nor vector
// widths, nor the order among pairs change a bit.

constexpr std::size_t kFwhtTile = 128;      // bytes of a row of a tile: whole cache lines
constexpr std::size_t kFwhtMostRows = 256;  // a tile is at most as large as L1

template <int... lane>
struct FwhtLanes {
  template <int h, class V>
  static V swap(V v) {
    return __builtin_shufflevector(v, v, (lane ^ h)...);
  }
  template <int h, class Bits>
  static Bits signs(decltype(Bits{}[0] + 0) top) {
    return Bits{((lane & h) == 0 ? 0 : top)...};
  }
};

template <std::size_t count>
struct FwhtLaneCount;
template <>
struct FwhtLaneCount<2> : FwhtLanes<0, 1> {};
template <>
struct FwhtLaneCount<4> : FwhtLanes<0, 1, 2, 3> {};
template <>
struct FwhtLaneCount<8> : FwhtLanes<0, 1, 2, 3, 4, 5, 6, 7> {};
template <>
struct FwhtLaneCount<16> : FwhtLanes<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15> {};

struct FwhtFloat32 {
  using Value = float;
  using Vector = f32v;
  using Bits = u32v;
  static constexpr std::uint32_t kSign = 0x80000000U;
};

struct FwhtFloat64 {
  using Value = double;
  using Vector = f64v;
  using Bits = u64v;
  static constexpr std::uint64_t kSign = 0x8000000000000000U;
};

template <class V>
inline void butterfly(V& a, V& b) {
  const V sum = a + b;
  b = a - b;
  a = sum;
}

// Stage h within a vector: a + b in the lower lane, a + (-b) in the upper one.
template <class F, int h>
inline typename F::Vector butterfly_lanes(typename F::Vector v) {
  using Lanes = FwhtLaneCount<kVectorBytes / sizeof(typename F::Value)>;
  using Bits = typename F::Bits;
  const Bits signs = Lanes::template signs<h, Bits>(F::kSign);
  return Lanes::template swap<h>(v) + bits_as<typename F::Vector>(bits_as<Bits>(v) ^ signs);
}

// All stages within a vector.
template <class F, int h = 1>
inline typename F::Vector transform_lanes(typename F::Vector v) {
  constexpr int lanes = kVectorBytes / sizeof(typename F::Value);
  if constexpr (h < lanes) {
    return transform_lanes<F, 2 * h>(butterfly_lanes<F, h>(v));
  } else {
    return v;
  }
}

// Stages step, 2 * step, ... of `radix` vectors, `step` values apart.
template <class F, std::size_t radix>
inline void butterflies(typename F::Value* x, std::size_t step) {
  typename F::Vector v[radix];
  for (std::size_t i = 0; i < radix; ++i) v[i] = load<typename F::Vector>(x + i * step);
  for (std::size_t h = 1; h < radix; h *= 2) {
    for (std::size_t i = 0; i < radix; ++i) {
      if ((i & h) == 0) butterfly(v[i], v[i + h]);
    }
  }
  for (std::size_t i = 0; i < radix; ++i) store(x + i * step, v[i]);
}

template <class F, std::size_t radix>
inline void butterfly_pass(typename F::Value* x, std::size_t n, std::size_t step) {
  constexpr std::size_t lanes = kVectorBytes / sizeof(typename F::Value);
  for (std::size_t block = 0; block < n; block += radix * step) {
    for (std::size_t i = 0; i < step; i += lanes) butterflies<F, radix>(x + block + i, step);
  }
}

// Stages from `step` values, at least a vector, up to n.
template <class F>
inline void transform_above(typename F::Value* x, std::size_t n, std::size_t step) {
  for (; 8 * step <= n; step *= 8) butterfly_pass<F, 8>(x, n, step);
  if (4 * step <= n) {
    butterfly_pass<F, 4>(x, n, step);
  } else if (2 * step <= n) {
    butterfly_pass<F, 2>(x, n, step);
  }
}

template <class F>
inline void transform_scalars(typename F::Value* x, std::size_t n) {
  for (std::size_t h = 1; h < n; h *= 2) {
    for (std::size_t i = 0; i < n; ++i) {
      if ((i & h) == 0) butterfly(x[i], x[i + h]);
    }
  }
}

// The whole transform of n values, a power of two, in cache.
template <class F>
void fwht_block(typename F::Value* x, std::size_t n) {
  constexpr std::size_t lanes = kVectorBytes / sizeof(typename F::Value);
  if (n < lanes) return transform_scalars<F>(x, n);
  for (std::size_t i = 0; i < n; i += lanes) {
    store(x + i, transform_lanes<F>(load<typename F::Vector>(x + i)));
  }
  transform_above<F>(x, n, lanes);
}

// The stages between rows that lie `stride` values apart, for `width` columns, a multiple of the
// tile's: rows is a power of two up to kFwhtMostRows. A tile is copied together first: rows a power
// of two apart would fall into few sets of the cache.
template <class F>
void fwht_columns(typename F::Value* x, std::size_t rows, std::size_t stride, std::size_t width) {
  constexpr std::size_t tile = kFwhtTile / sizeof(typename F::Value);
  alignas(64) typename F::Value scratch[kFwhtMostRows * tile];
  for (std::size_t column = 0; column < width; column += tile) {
    for (std::size_t row = 0; row < rows; ++row) {
      std::memcpy(scratch + row * tile, x + row * stride + column, kFwhtTile);
    }
    transform_above<F>(scratch, rows * tile, tile);
    for (std::size_t row = 0; row < rows; ++row) {
      std::memcpy(x + row * stride + column, scratch + row * tile, kFwhtTile);
    }
  }
}
