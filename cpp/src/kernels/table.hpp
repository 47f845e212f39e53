// The one interface between the core and its instruction sets: a struct of function pointers.
// Kernels know no std container, no allocation and no exception; callers check every precondition.
#pragma once

#include <cstddef>
#include <cstdint>

namespace veil {

// A cipher that turns a counter into whole blocks of keystream. `schedule` is opaque and in the
// format of the set that expanded it; (high, low) is the first block's counter. Preconditions of
// fill and mask_add: low + blocks must not wrap (64 bits for AES, 32 for ChaCha20, whose high is
// 0). Vectors are bytes of little-endian words; `in` and `out` are the same or apart.
struct StreamKernels {
  void (*expand)(const std::uint8_t* key, const std::uint8_t* nonce, std::uint8_t* schedule);
  void (*fill)(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
               std::uint8_t* out, std::size_t blocks);
  // out = in + keystream, or in - keystream when `negate` is not 0, in Z/2^32 and in Z/2^64.
  void (*mask_add_u32)(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
                       const std::uint8_t* in, std::uint8_t* out, std::size_t blocks,
                       std::uint32_t negate);
  void (*mask_add_u64)(const std::uint8_t* schedule, std::uint64_t high, std::uint64_t low,
                       const std::uint8_t* in, std::uint8_t* out, std::size_t blocks,
                       std::uint32_t negate);
};

struct KernelTable {
  const char* name;

  void (*shamir_evaluate)(const std::uint32_t* coefficients, std::size_t threshold,
                          std::size_t lanes, const std::uint32_t* x, std::size_t points,
                          std::uint32_t* out);
  void (*shamir_combine)(const std::uint32_t* weights, const std::uint32_t* shares,
                         std::size_t count, std::size_t stride, std::size_t lanes,
                         std::uint32_t* out);

  // Indexed by FloatFormat; out holds words of 4 bytes up to 32 ring bits, else of 8. Nonzero if a
  // value is not finite.
  std::uint64_t (*fixed_point_encode[4])(const void* x, const std::uint32_t* random,
                                         std::size_t count, double inverse_granularity, double clip,
                                         unsigned ring_bits, void* out);
  std::uint64_t (*decode_sum_u32)(const std::uint32_t* total, std::size_t count, double granularity,
                                  unsigned ring_bits, std::uint64_t most, double* out);
  std::uint64_t (*decode_sum_u64)(const std::uint64_t* total, std::size_t count, double granularity,
                                  unsigned ring_bits, std::uint64_t most, double* out);
  std::uint64_t (*pack_bits_u32)(const std::uint32_t* values, std::size_t count, unsigned bits,
                                 std::uint8_t* out);
  std::uint64_t (*pack_bits_u64)(const std::uint64_t* values, std::size_t count, unsigned bits,
                                 std::uint8_t* out);
  void (*unpack_bits_u32)(const std::uint8_t* in, std::size_t size, std::size_t count,
                          unsigned bits, std::uint32_t* values);
  void (*unpack_bits_u64)(const std::uint8_t* in, std::size_t size, std::size_t count,
                          unsigned bits, std::uint64_t* values);

  StreamKernels aes256_ctr;  // SP 800-38A CTR over FIPS 197, 16-byte blocks
  StreamKernels chacha20;    // RFC 8439, 64-byte blocks
  void (*ring_add_u32)(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* out,
                       std::size_t n);
  void (*ring_add_u64)(const std::uint64_t* a, const std::uint64_t* b, std::uint64_t* out,
                       std::size_t n);

  // Blocks of random bytes to blocks of values; each kernel's comment gives the sizes.
  void (*normal_f32)(const std::uint8_t* random, float* out, std::size_t blocks, float scale);
  void (*normal_f64)(const std::uint8_t* random, double* out, std::size_t blocks, double scale);
  void (*laplace_f32)(const std::uint8_t* random, float* out, std::size_t blocks, float scale);
  void (*laplace_f64)(const std::uint8_t* random, double* out, std::size_t blocks, double scale);
  void (*uniform_f32)(const std::uint8_t* random, float* out, std::size_t blocks);
  void (*uniform_f64)(const std::uint8_t* random, double* out, std::size_t blocks);
  void (*integers_u64)(const std::uint8_t* random, std::uint64_t* out, std::size_t blocks,
                       std::uint64_t high);
  void (*bernoulli_u8)(const std::uint8_t* random, std::uint8_t* out, std::size_t blocks,
                       std::uint64_t threshold);
  // Signed alias-table draws, added to out; not 0 if a draw tied with its threshold's upper limb.
  std::uint64_t (*table_add)(const std::uint8_t* random, const std::uint64_t* threshold,
                             const std::uint16_t* alias, std::uint32_t mask, std::uint32_t shift,
                             std::int64_t* out, std::size_t blocks);
  // Indexed by FloatFormat, float32 and float64 alone: out = granularity * (round(x * inverse) +
  // noise) for n words; the noise is within 2^52.
  void (*lattice_add[2])(const void* x, const std::int64_t* noise, void* out, std::size_t n,
                         double inverse, double granularity);
  // Indexed by FloatFormat, float32 and float64 alone. Slots of n values: 0 below, 1 + cell within
  // [low, high], last + 2 above, last + 3 not finite; last + 3 fits 31 bits.
  void (*cell_slots[2])(const void* x, std::int32_t* slots, std::size_t n, double low, double high,
                        double scale, double last);
  // Indexed by FloatFormat. Columns [begin, end), at least 32, of sum(weights[i] * rows[i]) / total
  // over a multiple of 4 updates; true if one of their values is not finite.
  std::uint32_t (*weighted_mean[4])(const void* const* rows, const double* weights,
                                    std::size_t updates, std::size_t begin, std::size_t end,
                                    double total, void* out);

  // Walsh-Hadamard transforms in place: of n contiguous values, any power of two; and between
  // `rows` rows, a power of two up to 256, for `width` columns, a multiple of 32.
  void (*fwht_block_f32)(float* x, std::size_t n);
  void (*fwht_block_f64)(double* x, std::size_t n);
  void (*fwht_columns_f32)(float* x, std::size_t rows, std::size_t stride, std::size_t width);
  void (*fwht_columns_f64)(double* x, std::size_t rows, std::size_t stride, std::size_t width);

  // Accumulators, indexed by FloatFormat; their arrays are padded to blocks of 256 elements.
  // Elements [begin, end), begin a multiple of 256; see accumulate.inc.hpp.
  std::uint32_t (*accumulate_bounded[4])(const void* update, double weight, std::size_t begin,
                                         std::size_t end, double centre, std::uint64_t limit,
                                         double* sums);
  std::uint32_t (*retract_bounded[4])(const void* update, double weight, std::size_t begin,
                                      std::size_t end, double centre, std::uint64_t limit,
                                      double* sums);
  void (*mean_bounded[4])(const double* sums, double centre, double total, std::size_t begin,
                          std::size_t end, void* out);
  double (*largest_magnitude[4])(const void* update, std::size_t begin, std::size_t end,
                                 double* tops);
  void (*accumulate_levels[4])(const void* update, const double* tops, double weight,
                               std::size_t begin, std::size_t end, std::uint64_t* high,
                               std::uint64_t* low, std::uint8_t* levels);
  void (*mean_levels[4])(const std::uint64_t* high, const std::uint64_t* low,
                         const std::uint8_t* levels, double total, std::size_t begin,
                         std::size_t end, void* out);
};

// Enough for any set's schedule: 15 bitsliced round keys of 8 words of 64 bits.
inline constexpr std::size_t kScheduleBytes = 960;

namespace kernels {
extern const KernelTable baseline;
extern const KernelTable avx2;
extern const KernelTable vaes;
}  // namespace kernels

}  // namespace veil
