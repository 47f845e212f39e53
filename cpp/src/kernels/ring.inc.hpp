// Addition in Z/2^32 and Z/2^64: what unsigned words do by themselves.

template <class V, class Word>
inline void ring_add(const Word* a, const Word* b, Word* out, std::size_t n) {
  constexpr std::size_t kWords = sizeof(V) / sizeof(Word);
  std::size_t i = 0;
  for (; i + kWords <= n; i += kWords) store(out + i, load<V>(a + i) + load<V>(b + i));
  for (; i < n; ++i) out[i] = a[i] + b[i];
}

void ring_add_u32(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* out,
                  std::size_t n) {
  ring_add<u32v>(a, b, out, n);
}

void ring_add_u64(const std::uint64_t* a, const std::uint64_t* b, std::uint64_t* out,
                  std::size_t n) {
  ring_add<u64v>(a, b, out, n);
}
