// Bit packing: value i in bits [i * bits, (i + 1) * bits), counted from the least significant bit
// of byte 0. Widths of whole words are casts that the compiler vectorises; the others are plain
// 64-bit arithmetic.

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are moved as their bytes");

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

// Returns the bits of all values, or-ed.
template <class Field, class Word>
inline std::uint64_t pack_fields(const Word* values, std::size_t count, std::uint8_t* out) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < count; ++i) {
    all |= values[i];
    const auto field = static_cast<Field>(values[i]);
    std::memcpy(out + i * sizeof field, &field, sizeof field);
  }
  return all;
}

template <class Field, class Word>
inline void unpack_fields(const std::uint8_t* in, std::size_t count, Word* values) {
  for (std::size_t i = 0; i < count; ++i) {
    Field field;
    std::memcpy(&field, in + i * sizeof field, sizeof field);
    values[i] = static_cast<Word>(field);
  }
}

// Values of 17 to 31 bits, in groups of eight that fill `bits` whole bytes: the group's 256 bits
// are put together without a chain from one to the next and stored whole; what lies beyond its
// bytes is zero and the next group's. Returns the values done: the last groups, where 32 bytes
// would pass the end, are not.
inline std::size_t pack_eights(const std::uint32_t* values, std::size_t count, unsigned bits,
                               std::uint8_t* out, std::uint64_t& all) {
  constexpr std::size_t kGroup = 8, kStored = 32, kBatch = 64;
  const std::uint64_t mask = low_bits(bits);
  const unsigned field = 2 * bits, over = 2 * field - 64;
  const std::size_t size = (count * bits + 7) / 8;
  std::size_t at = 0;
  u64v seen = {};
  for (; at + kBatch <= count && (at + kBatch) / kGroup * bits + kStored <= size; at += kBatch) {
    std::uint64_t fields[kBatch / 2];
    for (std::size_t i = 0; i < kBatch / 2; i += kVectorBytes / 8) {
      const u64v pair = load<u64v>(values + at + 2 * i);
      seen |= pair;
      store(fields + i, (pair & mask) | (((pair >> 32) & mask) << bits));
    }
    for (std::size_t i = 0; i < kBatch / 2; i += 4, out += bits) {
      const std::uint64_t a = fields[i] | fields[i + 1] << field;
      const std::uint64_t b = fields[i + 1] >> (64 - field);
      const std::uint64_t c = fields[i + 2] | fields[i + 3] << field;
      const std::uint64_t d = fields[i + 3] >> (64 - field);
      const std::uint64_t second = b | c << over;
      const std::uint64_t third = c >> (64 - over) | d << over;
      const std::uint64_t fourth = d >> (64 - over);
      std::memcpy(out, &a, 8);
      std::memcpy(out + 8, &second, 8);
      std::memcpy(out + 16, &third, 8);
      std::memcpy(out + 24, &fourth, 8);
    }
  }
  for (std::size_t lane = 0; lane < kVectorBytes / 8; ++lane)
    all |= static_cast<std::uint32_t>(seen[lane]) | seen[lane] >> 32;
  return at;
}

template <class Word>
inline std::uint64_t pack_words(const Word* values, std::size_t count, unsigned bits,
                                std::uint8_t* out) {
  if (bits == 8) return pack_fields<std::uint8_t>(values, count, out);
  if (bits == 16) return pack_fields<std::uint16_t>(values, count, out);
  if (bits == 32) return pack_fields<std::uint32_t>(values, count, out);
  if (bits == 64) return pack_fields<std::uint64_t>(values, count, out);
  const std::uint64_t mask = low_bits(bits);
  std::uint64_t all = 0;
  std::size_t i = 0;
  if constexpr (sizeof(Word) == 4) {
    if (bits > 16) i = pack_eights(values, count, bits, out, all);
  }
  BitWriter writer{out + i / 8 * bits};
  if (bits <= 32) {  // two values make one field of at most 64 bits
    for (; i + 2 <= count; i += 2) {
      const std::uint64_t low = values[i];
      const std::uint64_t high = values[i + 1];
      all |= low | high;
      writer.put((low & mask) | ((high & mask) << bits), 2 * bits);
    }
  }
  for (; i < count; ++i) {
    all |= values[i];
    writer.put(values[i] & mask, bits);
  }
  writer.finish();
  return all;
}

// Packs the low `bits` bits of each value; nonzero if some value has others.
inline std::uint64_t pack_bits_u32(const std::uint32_t* values, std::size_t count, unsigned bits,
                                   std::uint8_t* out) {
  return pack_words(values, count, bits, out) & ~low_bits(bits);
}

inline std::uint64_t pack_bits_u64(const std::uint64_t* values, std::size_t count, unsigned bits,
                                   std::uint8_t* out) {
  return pack_words(values, count, bits, out) & ~low_bits(bits);
}

inline std::uint64_t load_partial(const std::uint8_t* in, std::size_t bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, in, bytes < 8 ? bytes : 8);
  return word;
}

// Values from `first` on, one by one; `size` is the length of `in` and no byte past it is read.
template <class Word>
inline void unpack_rest(const std::uint8_t* in, std::size_t size, std::size_t first,
                        std::size_t count, unsigned bits, Word* values) {
  const std::uint64_t mask = low_bits(bits);
  for (std::size_t i = first; i < count; ++i) {
    const std::size_t bit = i * bits;
    const std::size_t byte = bit / 8;
    const unsigned shift = static_cast<unsigned>(bit % 8);
    std::uint64_t word = load_partial(in + byte, size - byte) >> shift;
    if (shift + bits > 64) word |= static_cast<std::uint64_t>(in[byte + 8]) << (64 - shift);
    values[i] = static_cast<Word>(word & mask);
  }
}

// Eight values fill `bits` whole bytes, and each of up to 57 bits lies within one 64-bit load.
template <class Word>
inline std::size_t unpack_groups(const std::uint8_t* in, std::size_t size, std::size_t count,
                                 unsigned bits, Word* values) {
  const std::uint64_t mask = low_bits(bits);
  const std::size_t last_load = 7 * bits / 8 + 8;
  std::size_t first = 0;
  for (; first + 8 <= count && last_load <= size; first += 8, in += bits, size -= bits) {
    for (unsigned j = 0; j < 8; ++j) {
      std::uint64_t word;
      std::memcpy(&word, in + j * bits / 8, 8);
      values[first + j] = static_cast<Word>((word >> (j * bits % 8)) & mask);
    }
  }
  return first;
}

template <class Word>
inline void unpack_words(const std::uint8_t* in, std::size_t size, std::size_t count, unsigned bits,
                         Word* values) {
  if (bits == 8) return unpack_fields<std::uint8_t>(in, count, values);
  if (bits == 16) return unpack_fields<std::uint16_t>(in, count, values);
  if (bits == 32) return unpack_fields<std::uint32_t>(in, count, values);
  if (bits == 64) return unpack_fields<std::uint64_t>(in, count, values);
  const std::size_t first = bits <= 57 ? unpack_groups(in, size, count, bits, values) : 0;
  unpack_rest(in, size, first, count, bits, values);
}

inline void unpack_bits_u32(const std::uint8_t* in, std::size_t size, std::size_t count,
                            unsigned bits, std::uint32_t* values) {
  unpack_words(in, size, count, bits, values);
}

inline void unpack_bits_u64(const std::uint8_t* in, std::size_t size, std::size_t count,
                            unsigned bits, std::uint64_t* values) {
  unpack_words(in, size, count, bits, values);
}
