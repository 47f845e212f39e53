// The limit that bench/bench_mask_add.py measures `mask_add` against: AES-256-CTR by VAES with
// nothing round it — no seek, no carry, no tail, no dispatch. Built by the benchmark itself.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

constexpr int kFlight = 8;                      // registers, each with two blocks
constexpr std::size_t kStride = 32 * kFlight;   // bytes
constexpr std::size_t kCacheBlock = 1U << 14U;  // bytes of the vector, in L1 for all keys

template <int kRoundConstant>
void expand_pair(__m128i* k) {
  const auto prefix_xor = [](__m128i w) {
    w = _mm_xor_si128(w, _mm_slli_si128(w, 4));
    return _mm_xor_si128(w, _mm_slli_si128(w, 8));
  };
  const __m128i rotated = _mm_aeskeygenassist_si128(k[1], kRoundConstant);
  k[2] = _mm_xor_si128(prefix_xor(k[0]), _mm_shuffle_epi32(rotated, 0xff));
  const __m128i plain = _mm_aeskeygenassist_si128(k[2], 0);
  k[3] = _mm_xor_si128(prefix_xor(k[1]), _mm_shuffle_epi32(plain, 0xaa));
}

void expand(const std::uint8_t* key, __m128i* k) {
  std::memcpy(k, key, 32);
  expand_pair<0x01>(k);
  expand_pair<0x02>(k + 2);
  expand_pair<0x04>(k + 4);
  expand_pair<0x08>(k + 6);
  expand_pair<0x10>(k + 8);
  expand_pair<0x20>(k + 10);
  expand_pair<0x40>(k + 12);
}

template <class Sink>
inline void run(const __m128i* keys, std::uint64_t block, std::size_t strides, Sink sink) {
  const __m256i swap =
      _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f));
  __m256i counter =
      _mm256_set_epi64x(0, static_cast<long long>(block + 1), 0, static_cast<long long>(block));
  for (std::size_t s = 0; s < strides; ++s) {
    __m256i x[kFlight];
    for (int i = 0; i < kFlight; ++i) {
      x[i] = _mm256_xor_si256(_mm256_shuffle_epi8(counter, swap),
                              _mm256_broadcastsi128_si256(keys[0]));
      counter = _mm256_add_epi64(counter, _mm256_set_epi64x(0, 2, 0, 2));
    }
    for (int round = 1; round < 14; ++round) {
      const __m256i key = _mm256_broadcastsi128_si256(keys[round]);
      for (int i = 0; i < kFlight; ++i) x[i] = _mm256_aesenc_epi128(x[i], key);
    }
    const __m256i key = _mm256_broadcastsi128_si256(keys[14]);
    for (int i = 0; i < kFlight; ++i) sink(s, i, _mm256_aesenclast_epi128(x[i], key));
  }
}

}  // namespace

extern "C" {

// The cipher alone: every block is made and folded into one register; no memory is touched.
void bare_vaes_cipher(const std::uint8_t* key, std::size_t bytes, std::uint8_t* folded) {
  __m128i k[16];
  expand(key, k);
  __m256i sum = _mm256_setzero_si256();
  run(k, 0, bytes / kStride, [&](std::size_t, int, __m256i x) { sum = _mm256_xor_si256(sum, x); });
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(folded), sum);
}

// Every key's keystream added to a u32 vector whose length in bytes is a multiple of 16 KiB.
void bare_vaes_add(const std::uint8_t* keys, std::size_t count, std::uint8_t* vector,
                   std::size_t bytes) {
  __m128i k[256][16];
  for (std::size_t j = 0; j < count; ++j) expand(keys + 32 * j, k[j]);
  for (std::size_t at = 0; at < bytes; at += kCacheBlock) {
    for (std::size_t j = 0; j < count; ++j) {
      run(k[j], at / 16, kCacheBlock / kStride, [&](std::size_t s, int i, __m256i x) {
        auto* out = reinterpret_cast<__m256i*>(vector + at + s * kStride +
                                               32 * static_cast<std::size_t>(i));
        _mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), x));
      });
    }
  }
}
}
