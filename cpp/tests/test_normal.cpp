#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "fingerprint.hpp"
#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/discrete.hpp"
#include "veil/normal.hpp"

namespace {

const std::vector<std::uint8_t> kSeed(32, 7);

// Words whose leading bits are often all zero or all one: the ends of u and of the angle.
template <class Word>
std::vector<Word> skewed_words(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<Word> words(count);
  for (Word& word : words) {
    word = static_cast<Word>(random());
    const unsigned kind = static_cast<unsigned>(random() % 4);
    if (kind == 0) word = static_cast<Word>(word >> (random() % (8 * sizeof(Word))));
    if (kind == 1) word = static_cast<Word>((word << 4 >> 4) >> (random() % 28));
    if (random() % 8 == 0) word = static_cast<Word>(word | Word{1} << (8 * sizeof(Word) - 1));
  }
  return words;
}

struct Point {
  long double cosine, sine;
};

// The sampler's definition in long double: `k` of 63 bits, angle `j` of `bits` bits.
Point definition(bool upper, std::uint64_t k, std::int64_t j, int bits, bool negate, bool swap) {
  const long double t = std::ldexp(static_cast<long double>(k) + 0.5L, -64);
  const long double radius = std::sqrt(-2.0L * (upper ? std::log1p(-t) : std::log(t)));
  const long double angle =
      std::ldexp(static_cast<long double>(j), 1 - bits) * std::numbers::pi_v<long double> / 4;
  const long double c = radius * std::cos(angle) * (negate ? -1 : 1);
  const long double s = radius * std::sin(angle);
  return swap ? Point{s, c} : Point{c, s};
}

// |got - want| in units of the last place of `got`'s type at `want`.
template <class T>
long double ulps(T got, long double want) {
  const T magnitude = std::max(std::abs(static_cast<T>(want)), std::numeric_limits<T>::min());
  const T spacing = std::nextafter(magnitude, std::numeric_limits<T>::infinity()) - magnitude;
  return std::abs(static_cast<long double>(got) - want) / static_cast<long double>(spacing);
}

constexpr long double kUlpBound = 8;  // what normal.hpp states
constexpr std::size_t kBlocks = 4000;

}  // namespace

TEST_CASE("normal float32 is within 8 units in the last place of its definition") {
  const auto words = skewed_words<std::uint32_t>(48 * kBlocks, 1);
  std::vector<float> out(32 * kBlocks);
  veil::active_kernels().normal_f32(reinterpret_cast<const std::uint8_t*>(words.data()), out.data(),
                                    kBlocks, 1.0F);
  long double worst = 0;
  for (std::size_t i = 0; i < 16 * kBlocks; ++i) {
    const std::uint32_t* lane = words.data() + i / 16 * 48 + i % 16;
    const std::uint32_t a = lane[0], b = lane[16], c = lane[32];
    const std::uint64_t k = (static_cast<std::uint64_t>(a & 0x7fffffffU) << 32) | b;
    const Point want = definition(a >> 31 != 0, k, static_cast<std::int32_t>(c << 2), 32,
                                  c >> 31 != 0, (c >> 30 & 1) != 0);
    const float* got = out.data() + i / 16 * 32 + i % 16;
    worst = std::max({worst, ulps(got[0], want.cosine), ulps(got[16], want.sine)});
  }
  MESSAGE("worst error in units of the last place: " << static_cast<double>(worst));
  CHECK(worst < kUlpBound);
}

TEST_CASE("normal float64 is within 8 units in the last place of its definition") {
  const auto words = skewed_words<std::uint64_t>(16 * kBlocks, 2);
  std::vector<double> out(16 * kBlocks);
  veil::active_kernels().normal_f64(reinterpret_cast<const std::uint8_t*>(words.data()), out.data(),
                                    kBlocks, 1.0);
  long double worst = 0;
  for (std::size_t i = 0; i < 8 * kBlocks; ++i) {
    const std::uint64_t* lane = words.data() + i / 8 * 16 + i % 8;
    const std::uint64_t a = lane[0], c = lane[8];
    const Point want = definition(a >> 63 != 0, a << 1 >> 1, static_cast<std::int64_t>(c << 2), 64,
                                  c >> 63 != 0, (c >> 62 & 1) != 0);
    const double* got = out.data() + i / 8 * 16 + i % 8;
    worst = std::max({worst, ulps(got[0], want.cosine), ulps(got[8], want.sine)});
  }
  MESSAGE("worst error in units of the last place: " << static_cast<double>(worst));
  CHECK(worst < kUlpBound);
}

TEST_CASE("the tail reaches 9.49 deviations and the centre has no hole") {
  std::array<std::uint32_t, 48> words{};
  std::array<float, 32> out{};
  const auto* random = reinterpret_cast<const std::uint8_t*>(words.data());
  veil::active_kernels().normal_f32(random, out.data(), 1, 1.0F);
  CHECK(out[0] == doctest::Approx(std::sqrt(130 * std::numbers::ln2)));  // u = 2^-65
  std::fill_n(words.begin(), 16, 0x80000000U);
  veil::active_kernels().normal_f32(random, out.data(), 1, 1.0F);
  CHECK(std::abs(out[0]) == doctest::Approx(std::ldexp(1.0, -32)));  // u = 1 - 2^-65
}

TEST_CASE("every instruction set gives the bits of baseline on edge lengths") {
  const veil::KernelTable& baseline = *veil::find_kernels("baseline");
  const auto same = [&](auto sample, auto zero) {
    for (const std::size_t n :
         {0U, 1U, 7U, 8U, 9U, 15U, 16U, 17U, 31U, 32U, 33U, 31U * 32U, 20000U}) {
      std::vector<decltype(zero)> want(n);
      veil::SecureGenerator reference(kSeed);
      sample(reference, std::span(want), 1, baseline);
      for (const veil::KernelTable* kernels : veil::supported_kernels()) {
        for (const int threads : {1, 2}) {
          std::vector<decltype(zero)> got(n);
          veil::SecureGenerator generator(kSeed);
          sample(generator, std::span(got), threads, *kernels);
          CHECK_MESSAGE((n == 0 || std::memcmp(got.data(), want.data(), n * sizeof zero) == 0),
                        kernels->name << " n = " << n);
        }
      }
    }
  };
  using veil::KernelTable, veil::SecureGenerator;
  const auto floats = [&](auto zero) {
    using T = decltype(zero);
    same([](SecureGenerator& g, std::span<T> out, int threads,
            const KernelTable& k) { veil::normal(g, out, T{3}, threads, k); },
         zero);
    same([](SecureGenerator& g, std::span<T> out, int threads,
            const KernelTable& k) { veil::laplace(g, out, T{3}, threads, k); },
         zero);
    same([](SecureGenerator& g, std::span<T> out, int threads,
            const KernelTable& k) { veil::uniform(g, out, threads, k); },
         zero);
  };
  floats(0.0F);
  floats(0.0);
  same([](SecureGenerator& g, std::span<std::uint64_t> out, int threads,
          const KernelTable& k) { veil::integers(g, out, 1000003, threads, k); },
       std::uint64_t{0});
  same([](SecureGenerator& g, std::span<std::uint8_t> out, int threads,
          const KernelTable& k) { veil::bernoulli(g, out, 1ULL << 61, threads, k); },
       std::uint8_t{0});
  same([](SecureGenerator& g, std::span<std::uint64_t> out, int,
          const KernelTable& k) { veil::permutation(g, out, k); },
       std::uint64_t{0});
}

// The same constants on every machine: 20,000 values from the seed of 32 bytes 7, scale 3.
TEST_CASE_TEMPLATE("float draws have their golden bits", T, float, double) {
  const bool single = sizeof(T) == 4;
  std::vector<T> out(20000);
  veil::SecureGenerator normal_generator(kSeed);
  veil::normal(normal_generator, std::span(out), T{3}, 1);
  CHECK(fingerprint(out) == (single ? 0x6ace65c75ac27487U : 0x8382f6a38b96b1a8U));
  veil::SecureGenerator laplace_generator(kSeed);
  veil::laplace(laplace_generator, std::span(out), T{3}, 1);
  CHECK(fingerprint(out) == (single ? 0x44fdeeea41d9d81cU : 0xa885f83d7a64b5f3U));
  veil::SecureGenerator uniform_generator(kSeed);
  veil::uniform(uniform_generator, std::span(out), 1);
  CHECK(fingerprint(out) == (single ? 0x2b143ed46226a9a5U : 0xe0c73b57bb52cf49U));
}
