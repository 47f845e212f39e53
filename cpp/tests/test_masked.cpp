// A client's message in one pass against its three steps one after the other.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "veil/masked.hpp"
#include "veil/pack.hpp"

namespace {

using veil::Cipher;

constexpr std::array<std::uint8_t, 32> kSeed{1, 2, 3};
const std::vector<std::int8_t> kSigns{1, -1, -1};

std::vector<std::uint8_t> mask_keys() {
  std::vector<std::uint8_t> keys(32 * kSigns.size());
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::uint8_t>(11 * i);
  return keys;
}

std::vector<float> values(std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = std::sin(static_cast<float>(i));
  return x;
}

template <class Word>
std::vector<std::uint8_t> step_by_step(const veil::FixedPointParameters& codec,
                                       const std::vector<float>& x, const std::vector<Word>& head,
                                       bool stochastic, std::uint64_t offset) {
  std::vector<Word> words(head);
  words.resize(head.size() + x.size());
  veil::SecureGenerator random(kSeed);
  veil::fixed_point_encode(codec, veil::FloatFormat::kFloat32, x.data(), x.size(),
                           stochastic ? &random : nullptr, words.data() + head.size(), 1);
  veil::mask_add(Cipher::aes256_ctr, std::span<const Word>(words), mask_keys(), kSigns, offset,
                 std::span(words), 1);
  for (Word& word : words) word &= static_cast<Word>(~std::uint64_t{0} >> (64 - codec.ring_bits));
  std::vector<std::uint8_t> packed(veil::packed_bytes(words.size(), codec.ring_bits));
  veil::pack_bits(std::span<const Word>(words), codec.ring_bits, packed);
  return packed;
}

template <class Word>
std::vector<std::uint8_t> in_one_pass(const veil::FixedPointParameters& codec,
                                      const std::vector<float>& x, const std::vector<Word>& head,
                                      bool stochastic, std::uint64_t offset, int threads) {
  veil::SecureGenerator random(kSeed);
  const veil::FixedPointEncoder encoder(codec, veil::FloatFormat::kFloat32, x.data(), x.size(),
                                        stochastic ? &random : nullptr);
  const veil::Masks masks(Cipher::aes256_ctr, mask_keys(), kSigns);
  std::vector<std::uint8_t> out(veil::packed_bytes(head.size() + x.size(), codec.ring_bits));
  veil::encode_masked<Word>(encoder, codec.ring_bits, head, masks, offset, out, threads);
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("one pass gives the bits of encoding, masking and packing", Word, std::uint32_t,
                   std::uint64_t) {
  const std::vector<unsigned> widths =
      sizeof(Word) == 4 ? std::vector<unsigned>{5, 16, 27, 32} : std::vector<unsigned>{33, 47, 64};
  for (const unsigned bits : widths) {
    const veil::FixedPointParameters codec{1.0, 0x1p-4, bits};
    for (const std::size_t n : {0U, 1U, 7U, 8U, 8'192U, 16'384U, 16'385U, 40'001U}) {
      for (const std::size_t heads : {0U, 3U}) {
        CAPTURE(bits);
        CAPTURE(n);
        CAPTURE(heads);
        const std::vector<Word> head(heads, 5);
        const bool stochastic = n % 2 == 1;
        const auto want = step_by_step(codec, values(n), head, stochastic, 8);
        CHECK(in_one_pass(codec, values(n), head, stochastic, 8, 1) == want);
        CHECK(in_one_pass(codec, values(n), head, stochastic, 8, 3) == want);
      }
    }
  }
}

TEST_CASE("a value that is not finite is refused wherever it stands") {
  const veil::FixedPointParameters codec{1.0, 0x1p-4, 16};
  for (const std::size_t at : {0U, 16'384U, 39'999U}) {
    auto x = values(40'000);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS(in_one_pass<std::uint32_t>(codec, x, {}, false, 0, 2), std::domain_error);
  }
}

TEST_CASE("wrong offsets, sizes and widths are refused") {
  const veil::FixedPointParameters codec{1.0, 0x1p-4, 40};
  const auto x = values(16);
  const veil::FixedPointEncoder encoder(codec, veil::FloatFormat::kFloat32, x.data(), x.size(),
                                        nullptr);
  const veil::Masks masks(Cipher::aes256_ctr, mask_keys(), kSigns);
  std::vector<std::uint8_t> out(80), small(79);
  CHECK_THROWS_AS(veil::encode_masked<std::uint64_t>(encoder, 40, {}, masks, 4, out, 1),
                  std::invalid_argument);
  CHECK_THROWS_AS(veil::encode_masked<std::uint64_t>(encoder, 40, {}, masks, 0, small, 1),
                  std::invalid_argument);
  CHECK_THROWS_AS(veil::encode_masked<std::uint32_t>(encoder, 40, {}, masks, 0, out, 1),
                  std::invalid_argument);
  CHECK_THROWS_AS(
      veil::encode_masked<std::uint64_t>(encoder, 40, {}, masks, ~std::uint64_t{7}, out, 1),
      std::overflow_error);
}
