// What every keystream kernel does with its blocks: write them out, or add them to a vector while
// they are still in registers. A generator has kBlockBytes, kBlocks (per stride), a constructor
// (schedule, high, low) and stride(sink, at), which gives `sink` the next kBlocks blocks in
// vectors.

typedef std::uint8_t u8x16 __attribute__((vector_size(16)));

template <class Word, std::size_t kBytes>
struct VectorOf {
  typedef Word type __attribute__((vector_size(kBytes)));
};

// The hardware's prefetchers stop at the end of a page; a vector longer than the cache would stall
// at the start of each. An address beyond the vector is a harmless hint.
template <int kWrite>
inline void prefetch_ahead(const std::uint8_t* data, std::size_t bytes) {
  constexpr std::uintptr_t kAhead = 4096, kLine = 64;
  const auto first = reinterpret_cast<std::uintptr_t>(data) + kAhead;
  for (std::uintptr_t i = 0; i < bytes; i += kLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(first + i), kWrite);
  }
}

struct StoreSink {
  std::uint8_t* out;
  inline void expect(std::size_t, std::size_t) const {}
  template <class V>
  inline void operator()(std::size_t at, V keystream) const {
    store(out + at, keystream);
  }
};

template <class Word, bool kNegate>
struct AddSink {
  const std::uint8_t* in;
  std::uint8_t* out;
  inline void expect(std::size_t at, std::size_t bytes) const {
    prefetch_ahead<0>(in + at, bytes);
    prefetch_ahead<1>(out + at, bytes);
  }
  template <class V>
  inline void operator()(std::size_t at, V keystream) const {
    using Words = typename VectorOf<Word, sizeof(V)>::type;
    const Words words = load<Words>(in + at);
    const Words mask = reinterpret_cast<Words>(keystream);
    store(out + at, kNegate ? words - mask : words + mask);
  }
};

inline void wipe_scratch(std::uint8_t* data, std::size_t bytes) {
  std::memset(data, 0, bytes);
  __asm__ volatile("" : : "r"(data) : "memory");  // the optimiser must take the zeros as read
}

// Blocks [first, first + blocks) of the range that the sink knows.
template <class Generator, class Sink>
inline void run_blocks(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
                       std::size_t first, std::size_t blocks, const Sink& sink) {
  constexpr std::size_t kStride = Generator::kBlocks * Generator::kBlockBytes;
  Generator generator(schedule, high, low + first);
  std::size_t at = first * Generator::kBlockBytes;
  for (; blocks >= Generator::kBlocks; blocks -= Generator::kBlocks, at += kStride) {
    sink.expect(at, kStride);
    generator.stride(sink, at);
  }
  if (blocks == 0) return;
  alignas(64) std::uint8_t scratch[kStride];
  generator.stride(StoreSink{scratch}, 0);
  for (std::size_t i = 0; i < blocks * Generator::kBlockBytes; i += sizeof(u8x16)) {
    sink(at + i, load<u8x16>(scratch + i));
  }
  wipe_scratch(scratch, sizeof scratch);
}

// A generator may name a Bulk one for long runs, which begins at a multiple of kBlocks.
template <class Generator, class Sink>
inline void generate(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
                     std::size_t blocks, const Sink& sink) {
  if constexpr (requires { typename Generator::Bulk; }) {
    using Bulk = typename Generator::Bulk;
    if (Bulk::fits(low, blocks)) {
      const auto lead = static_cast<std::size_t>(-low % Generator::kBlocks);
      const std::size_t bulk = (blocks - lead) / Generator::kBlocks * Generator::kBlocks;
      if (lead != 0) run_blocks<Generator>(schedule, high, low, 0, lead, sink);
      run_blocks<Bulk>(schedule, high, low, lead, bulk, sink);
      const std::size_t done = lead + bulk;
      if (done != blocks) run_blocks<Generator>(schedule, high, low, done, blocks - done, sink);
      return;
    }
  }
  run_blocks<Generator>(schedule, high, low, 0, blocks, sink);
}

template <class Generator>
void stream_fill(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
                 std::uint8_t* out, std::size_t blocks) {
  generate<Generator>(schedule, high, low, blocks, StoreSink{out});
}

template <class Generator, class Word>
void stream_mask_add(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
                     const std::uint8_t* in, std::uint8_t* out, std::size_t blocks,
                     std::uint32_t negate) {
  if (negate != 0) {
    generate<Generator>(schedule, high, low, blocks, AddSink<Word, true>{in, out});
  } else {
    generate<Generator>(schedule, high, low, blocks, AddSink<Word, false>{in, out});
  }
}
