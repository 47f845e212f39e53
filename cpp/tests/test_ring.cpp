// Ring sums and fused masks: every instruction set against plain words, golden bits.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/keystream.hpp"
#include "veil/ring.hpp"

namespace {

using veil::Cipher;
using veil::Keystream;

template <class Word>
std::vector<Word> ramp(std::size_t n) {
  std::vector<Word> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<Word>(i * 0x9e3779b97f4a7c15U);
  return values;
}

std::vector<std::uint8_t> keys_of(std::size_t count) {
  std::vector<std::uint8_t> keys(32 * count);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::uint8_t>(7 * i + i / 32);
  return keys;
}

template <class Word>
std::vector<Word> plain_sum(Cipher cipher, const std::vector<Word>& in,
                            const std::vector<std::uint8_t>& keys,
                            const std::vector<std::int8_t>& signs, std::uint64_t offset) {
  std::vector<Word> total = in, mask(in.size());
  for (std::size_t j = 0; j < signs.size(); ++j) {
    const Keystream stream(cipher, std::span(keys).subspan(32 * j, 32), {},
                           veil::kernels::baseline);
    auto* bytes = reinterpret_cast<std::uint8_t*>(mask.data());
    stream.fill(offset * sizeof(Word), {bytes, mask.size() * sizeof(Word)});
    for (std::size_t i = 0; i < total.size(); ++i) {
      total[i] = signs[j] > 0 ? total[i] + mask[i] : total[i] - mask[i];
    }
  }
  return total;
}

template <class Word>
std::uint64_t fnv1a64(const std::vector<Word>& words) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(words.data());
  for (std::size_t i = 0; i < words.size() * sizeof(Word); ++i) {
    hash = (hash ^ bytes[i]) * 0x100000001b3U;
  }
  return hash;
}

constexpr std::size_t kLengths[] = {0,  1,  3,  4,   5,   15,   16,   17,   31,   32,  33,
                                    63, 64, 65, 127, 129, 1984, 4095, 4096, 4097, 9001};

}  // namespace

TEST_CASE_TEMPLATE("each set's mask_add is the sum of its keystreams", Word, std::uint32_t,
                   std::uint64_t) {
  const auto keys = keys_of(1);
  for (const veil::KernelTable* kernels : veil::supported_kernels()) {
    for (const Cipher cipher : {Cipher::aes256_ctr, Cipher::chacha20}) {
      const Keystream stream(cipher, keys, {}, *kernels);
      for (const std::size_t n : kLengths) {
        for (const std::uint64_t offset : {0U, 1U, 3U, 17U, 1001U}) {
          for (const int sign : {1, -1}) {
            CAPTURE(n);
            CAPTURE(offset);
            const std::vector<Word> in = ramp<Word>(n);
            std::vector<Word> out(n);
            stream.mask_add(offset * sizeof(Word), std::span<const Word>(in), std::span<Word>(out),
                            sign < 0);
            CHECK(out == plain_sum(cipher, in, keys, {static_cast<std::int8_t>(sign)}, offset));
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("mask_add of many keys, in place, on any number of threads", Word, std::uint32_t,
                   std::uint64_t) {
  const std::vector<std::int8_t> signs{1, -1, -1, 1, -1};
  const auto keys = keys_of(signs.size());
  for (const Cipher cipher : {Cipher::aes256_ctr, Cipher::chacha20}) {
    for (const int threads : {1, 3}) {
      const std::vector<Word> in = ramp<Word>(20'011);
      std::vector<Word> vector = in;
      veil::mask_add(cipher, std::span<const Word>(vector), keys, signs, 5, std::span(vector),
                     threads);
      CHECK(vector == plain_sum(cipher, in, keys, signs, 5));
    }
  }
}

TEST_CASE_TEMPLATE("many keys over few blocks give the same bits on any number of threads", Word,
                   std::uint32_t, std::uint64_t) {
  std::vector<std::int8_t> signs(75);
  for (std::size_t j = 0; j < signs.size(); ++j) signs[j] = j % 3 == 0 ? -1 : 1;
  const auto keys = keys_of(signs.size());
  for (const std::size_t n : {0U, 1U, 64U, 4'000U, 16'400U}) {
    const std::vector<Word> in = ramp<Word>(n);
    const auto want = plain_sum(Cipher::aes256_ctr, in, keys, signs, 5);
    for (const int threads : {1, 2, 5, 64}) {
      std::vector<Word> apart(n), vector = in;
      veil::mask_add(Cipher::aes256_ctr, std::span<const Word>(in), keys, signs, 5,
                     std::span(apart), threads);
      veil::mask_add(Cipher::aes256_ctr, std::span<const Word>(vector), keys, signs, 5,
                     std::span(vector), threads);
      CHECK(apart == want);
      CHECK(vector == want);
    }
  }
}

// The same vectors and digests as tests/kat/vectors/mask_add.json, which says how they were made.
TEST_CASE_TEMPLATE("golden bits of mask_add", Word, std::uint32_t, std::uint64_t) {
  constexpr bool k32 = sizeof(Word) == 4;
  const std::vector<std::int8_t> signs{1, -1, -1, 1, -1};
  const auto keys = keys_of(signs.size());
  const std::vector<Word> in = ramp<Word>(10'007);
  std::vector<Word> out(in.size());
  veil::mask_add(Cipher::aes256_ctr, std::span<const Word>(in), keys, signs, 5, std::span(out), 2);
  CHECK(fnv1a64(out) == (k32 ? 0x02797954557ff6c5U : 0xb2b62e19930dbf43U));
  veil::mask_add(Cipher::chacha20, std::span<const Word>(in), keys, signs, 5, std::span(out), 2);
  CHECK(fnv1a64(out) == (k32 ? 0xd537d78c15cc0f40U : 0x1037f1435f444623U));
}

TEST_CASE("each set's ring_add wraps around as plain words do") {
  for (const veil::KernelTable* kernels : veil::supported_kernels()) {
    for (const std::size_t n : kLengths) {
      const auto a32 = ramp<std::uint32_t>(n);
      const auto a64 = ramp<std::uint64_t>(n);
      std::vector<std::uint32_t> b32(n, ~std::uint32_t{0} - 6), out32(n), want32(n);
      std::vector<std::uint64_t> b64(n, ~std::uint64_t{0} - 6), out64(n), want64(n);
      for (std::size_t i = 0; i < n; ++i) {
        want32[i] = a32[i] - 7;
        want64[i] = a64[i] - 7;
      }
      kernels->ring_add_u32(a32.data(), b32.data(), out32.data(), n);
      kernels->ring_add_u64(a64.data(), b64.data(), out64.data(), n);
      CHECK(out32 == want32);
      CHECK(out64 == want64);
    }
  }
}

TEST_CASE("wrong signs, sizes and offsets are refused before anything is written") {
  std::vector<std::uint32_t> vector(8);
  const std::span<const std::uint32_t> in(vector);
  const std::span<std::uint32_t> out(vector);
  const auto keys = keys_of(2);
  const auto call = [&](std::vector<std::int8_t> signs, std::uint64_t offset) {
    veil::mask_add(Cipher::aes256_ctr, in, keys, signs, offset, out, 1);
  };
  CHECK_THROWS_AS(call({1}, 0), std::invalid_argument);
  CHECK_THROWS_AS(call({1, 0}, 0), std::invalid_argument);
  CHECK_THROWS_AS(call({1, 1}, (std::uint64_t{1} << 50) - 7), std::overflow_error);
  CHECK_THROWS_AS(call({1, 1}, ~std::uint64_t{0}), std::overflow_error);
  CHECK(vector == std::vector<std::uint32_t>(8));
}
