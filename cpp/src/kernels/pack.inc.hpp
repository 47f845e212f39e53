// Bit packing: value i in bits [i * bits, (i + 1) * bits), counted from the least significant bit
// of byte 0. Plain 64-bit arithmetic: the work is one shift and one or per value.

inline std::uint64_t low_bits(unsigned bits) { return ~std::uint64_t{0} >> (64 - bits); }

// Appends fields of up to 64 bits to a byte string, 8 bytes at a time.
struct BitWriter {
  std::uint8_t* out;
  std::uint64_t pending = 0;
  unsigned filled = 0;

  void put(std::uint64_t value, unsigned bits) {
    pending |= value << filled;
    const unsigned end = filled + bits;
    if (end < 64) {
      filled = end;
      return;
    }
    std::memcpy(out, &pending, 8);
    out += 8;
    const unsigned taken = 64 - filled;
    pending = taken < 64 ? value >> taken : 0;
    filled = end - 64;
  }

  void finish() {
    if (filled > 0) std::memcpy(out, &pending, (filled + 7) / 8);
  }
};

// Returns nonzero if some value does not fit in `bits`.
template <class Word>
inline std::uint64_t pack_words(const Word* values, std::size_t count, unsigned bits,
                                std::uint8_t* out) {
  BitWriter writer{out};
  std::uint64_t all = 0;
  std::size_t i = 0;
  if (bits <= 32) {  // two values make one field of at most 64 bits
    for (; i + 2 <= count; i += 2) {
      const std::uint64_t low = values[i];
      const std::uint64_t high = values[i + 1];
      all |= low | high;
      writer.put(low | (high << bits), 2 * bits);
    }
  }
  for (; i < count; ++i) {
    all |= values[i];
    writer.put(values[i], bits);
  }
  writer.finish();
  return all & ~low_bits(bits);
}

inline std::uint64_t pack_bits_u32(const std::uint32_t* values, std::size_t count, unsigned bits,
                                   std::uint8_t* out) {
  return pack_words(values, count, bits, out);
}

inline std::uint64_t pack_bits_u64(const std::uint64_t* values, std::size_t count, unsigned bits,
                                   std::uint8_t* out) {
  return pack_words(values, count, bits, out);
}

inline std::uint64_t load_partial(const std::uint8_t* in, std::size_t bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, in, bytes < 8 ? bytes : 8);
  return word;
}

// `size` is the length of `in`; no byte past it is read.
template <class Word>
inline void unpack_words(const std::uint8_t* in, std::size_t size, std::size_t count, unsigned bits,
                         Word* values) {
  const std::uint64_t mask = low_bits(bits);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bit = i * bits;
    const std::size_t byte = bit / 8;
    const unsigned shift = static_cast<unsigned>(bit % 8);
    const std::size_t left = size - byte;
    std::uint64_t word;
    if (left >= 8) {
      std::memcpy(&word, in + byte, 8);
    } else {
      word = load_partial(in + byte, left);
    }
    word >>= shift;
    if (shift + bits > 64) word |= static_cast<std::uint64_t>(in[byte + 8]) << (64 - shift);
    values[i] = static_cast<Word>(word & mask);
  }
}

inline void unpack_bits_u32(const std::uint8_t* in, std::size_t size, std::size_t count,
                            unsigned bits, std::uint32_t* values) {
  unpack_words(in, size, count, bits, values);
}

inline void unpack_bits_u64(const std::uint8_t* in, std::size_t size, std::size_t count,
                            unsigned bits, std::uint64_t* values) {
  unpack_words(in, size, count, bits, values);
}
