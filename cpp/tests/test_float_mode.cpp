#include <doctest/doctest.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/fixed_point.hpp"
#include "veil/float_mode.hpp"
#include "veil/fwht.hpp"
#include "veil/normal.hpp"
#include "veil/parallel.hpp"
#include "veil/reduce.hpp"

namespace {

using veil::FloatFormat;
using veil::FloatMode;
using veil::Subnormals;

#if defined(__x86_64__)
// Up, subnormals to zero, invalid not masked, and the flag of a division by zero: nobody's default.
constexpr std::uint64_t kOdd = 0x1f00 | 0x8040 | 0x4000 | 0x0004;

std::uint64_t mode() {
  std::uint32_t word = 0;
  __asm__ volatile("stmxcsr %0" : "=m"(word));
  return word;
}

void set_mode(std::uint64_t word) {
  const auto narrow = static_cast<std::uint32_t>(word);
  __asm__ volatile("ldmxcsr %0" : : "m"(narrow));
}
#elif defined(__aarch64__)
constexpr std::uint64_t kOdd = 1U << 24 | 1U << 22;  // FZ, up

std::uint64_t mode() {
  std::uint64_t word = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}

void set_mode(std::uint64_t word) { __asm__ volatile("msr fpcr, %0" : : "r"(word)); }
#endif

#if defined(__x86_64__) || defined(__aarch64__)
// Runs a call with the thread in an odd mode; whether the mode was there afterwards.
template <class Call>
bool keeps_mode(const Call& call) {
  const std::uint64_t before = mode();
  set_mode(kOdd);
  call();
  const std::uint64_t after = mode();
  set_mode(before);
  return after == kOdd;
}
#endif

const veil::FixedPointParameters kCodec{1.0, 0x1p-19, 32};

std::vector<double> subnormals() {
  std::vector<double> x(1003);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = std::bit_cast<double>((i * 0x9e3779b97f4a7c15U) & 0x800fffffffffffffU);
  }
  return x;
}

template <class T>
std::vector<std::uint32_t> encoded(FloatFormat format, const std::vector<T>& x, bool stochastic,
                                   const veil::FixedPointParameters& codec = kCodec) {
  std::vector<std::uint32_t> words(x.size());
  veil::SecureGenerator generator(std::vector<std::uint8_t>(32, 7));
  veil::fixed_point_encode(codec, format, x.data(), x.size(), stochastic ? &generator : nullptr,
                           words.data(), 2);
  return words;
}

std::vector<double> mean_of(const std::vector<double>& x) {
  std::vector<double> out(x.size());
  const void* const rows[] = {x.data(), x.data()};
  const double weights[] = {1.0, 3.0};
  veil::weighted_mean(FloatFormat::kFloat64, rows, weights, x.size(), out.data(), 2);
  return out;
}

bool product_is_zero() {
  volatile double least = std::numeric_limits<double>::denorm_min();
  volatile double one = 1.0;
  return std::bit_cast<std::uint64_t>(least * one) == 0;
}

}  // namespace

#if defined(__x86_64__) || defined(__aarch64__)

TEST_CASE("kernels leave the caller's rounding, traps, flags and subnormals as they were") {
  const auto x = subnormals();
  std::vector<double> drawn(100'000);
  veil::SecureGenerator generator(std::vector<std::uint8_t>(32, 7));
  for (const int threads : {1, 3}) {
    CHECK(keeps_mode([&] { veil::normal(generator, std::span(drawn), 1.0, threads); }));
    CHECK(keeps_mode([&] { veil::fwht(std::span(drawn).first(1 << 16), threads); }));
  }
  CHECK(keeps_mode([&] { encoded(FloatFormat::kFloat64, x, true); }));
  CHECK(keeps_mode([&] { mean_of(x); }));
}

TEST_CASE("a chunk that throws leaves the caller's mode as it was") {
  const auto fail = [](std::size_t) { throw std::runtime_error("chunk"); };
  for (const int threads : {1, 3}) {
    CHECK(keeps_mode(
        [&] { CHECK_THROWS_AS(veil::parallel_for(8, threads, fail), std::runtime_error); }));
  }
}

TEST_CASE("every thread runs its chunks with subnormals as asked") {
  for (const int threads : {1, 2, 4}) {
    for (const bool zero : {true, false, true}) {
      std::atomic<int> wrong{0};
      veil::parallel_for(
          64, threads, [&](std::size_t) { wrong += product_is_zero() != zero; },
          zero ? Subnormals::zero : Subnormals::kept);
      CHECK(wrong.load() == 0);
    }
  }
  CHECK_FALSE(product_is_zero());
}

TEST_CASE("a nested call has its own mode and gives back the outer one") {
  veil::parallel_for(1, 1, [&](std::size_t) {
    CHECK(product_is_zero());
    veil::parallel_for(1, 1, [](std::size_t) { CHECK_FALSE(product_is_zero()); }, Subnormals::kept);
    CHECK(product_is_zero());
  });
}

TEST_CASE("the caller's mode changes no bit of a result") {
  auto x = subnormals();
  for (std::size_t i = 0; i < x.size(); i += 2) x[i] = 0.3 / static_cast<double>(i + 1);
  const auto words = encoded(FloatFormat::kFloat64, x, true);
  const auto mean = mean_of(x);
  std::vector<std::uint32_t> odd_words;
  std::vector<double> odd_mean;
  REQUIRE(keeps_mode([&] {
    odd_words = encoded(FloatFormat::kFloat64, x, true);
    odd_mean = mean_of(x);
  }));
  CHECK(odd_words == words);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK(std::bit_cast<std::uint64_t>(odd_mean[i]) == std::bit_cast<std::uint64_t>(mean[i]));
  }
}

TEST_CASE("a subnormal is encoded as zero is, rounded either way") {
  const auto x = subnormals();
  std::vector<std::uint32_t> narrow(x.size());
  std::vector<std::uint16_t> brain(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto draw = static_cast<std::uint32_t>(i * 0x9e3779b9U);
    narrow[i] = draw & 0x807fffffU;
    brain[i] = static_cast<std::uint16_t>(draw & 0x807fU);
  }
  const std::vector<std::uint32_t> zeros(x.size());
  for (const bool stochastic : {false, true}) {
    CHECK(encoded(FloatFormat::kFloat64, x, stochastic) == zeros);
    CHECK(encoded(FloatFormat::kFloat32, narrow, stochastic) == zeros);
    CHECK(encoded(FloatFormat::kBFloat16, brain, stochastic) == zeros);
  }
}

#endif

TEST_CASE("float16's subnormals are encoded exactly on every instruction set") {
  const FloatMode mode(Subnormals::zero);
  std::vector<std::uint16_t> halves(1 << 11);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    halves[i] = static_cast<std::uint16_t>((i & 0x3ff) | (i & 0x400) << 5);
  }
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    std::vector<std::uint64_t> words(halves.size());
    const auto bad = table->fixed_point_encode[static_cast<unsigned>(FloatFormat::kFloat16)](
        halves.data(), nullptr, halves.size(), 0x1p24, 1.0, 64, words.data());
    REQUIRE(bad == 0);
    for (std::size_t i = 0; i < halves.size(); ++i) {
      const std::uint64_t magnitude = i & 0x3ff;
      CHECK(words[i] == ((i & 0x400) != 0 ? 0 - magnitude : magnitude));
    }
  }
}

TEST_CASE("granularities at which subnormals would matter are refused") {
  const auto with = [](double granularity) {
    return veil::FixedPointParameters{granularity, granularity, 32};
  };
  const std::vector<std::uint32_t> one(1);
  const std::vector<double> wide(1);
  CHECK_NOTHROW(encoded(FloatFormat::kFloat32, one, false, with(0x1p-94)));
  CHECK_THROWS_AS(encoded(FloatFormat::kFloat32, one, false, with(0x1p-95)), std::invalid_argument);
  CHECK_THROWS_AS(
      encoded(FloatFormat::kBFloat16, std::vector<std::uint16_t>(1), false, with(0x1p-95)),
      std::invalid_argument);
  CHECK_NOTHROW(encoded(FloatFormat::kFloat64, wide, false, with(0x1p-960)));
  CHECK_THROWS_AS(encoded(FloatFormat::kFloat64, wide, false, with(0x1p-961)),
                  std::invalid_argument);
  CHECK_THROWS_AS(encoded(FloatFormat::kFloat64, wide, false, with(0x1p-1030)),
                  std::invalid_argument);
}
