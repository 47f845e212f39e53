#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

#include "fingerprint.hpp"
#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/fwht.hpp"

namespace {

template <class T>
std::vector<T> values_of_many_sizes(std::size_t n) {
  std::mt19937_64 bits(n);
  std::vector<T> values(n);
  for (T& value : values) {
    const double unit = static_cast<double>(bits() >> 11) * 0x1p-53 - 0.5;
    value = static_cast<T>(std::ldexp(unit, static_cast<int>(bits() % 20) - 10));
  }
  return values;
}

// One stage after the other, pair by pair.
template <class T>
void by_definition(std::vector<T>& x) {
  for (std::size_t h = 1; h < x.size(); h *= 2) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      if ((i & h) != 0) continue;
      const T a = x[i];
      const T b = x[i + h];
      x[i] = a + b;
      x[i + h] = a - b;
    }
  }
}

template <class T, class Block, class Columns>
void check(Block block, Columns columns) {
  for (std::size_t n = 1; n <= 8192; n *= 2) {
    auto want = values_of_many_sizes<T>(n);
    auto got = want;
    by_definition(want);
    block(got.data(), n);
    REQUIRE(got == want);
  }
  for (const std::size_t rows : {1U, 2U, 4U, 8U, 64U, 256U}) {
    const std::size_t stride = 64;
    auto want = values_of_many_sizes<T>(rows * stride);
    auto got = want;
    by_definition(want);
    for (std::size_t row = 0; row < rows; ++row) block(got.data() + row * stride, stride);
    columns(got.data(), rows, stride, stride / 2);
    columns(got.data() + stride / 2, rows, stride, stride / 2);
    REQUIRE(got == want);
  }
}

}  // namespace

TEST_CASE("every instruction set transforms as the definition does, to the last bit") {
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    CAPTURE(table->name);
    check<float>(table->fwht_block_f32, table->fwht_columns_f32);
    check<double>(table->fwht_block_f64, table->fwht_columns_f64);
  }
}

TEST_CASE("lengths beyond one and two passes, and the number of threads, change no bit") {
  for (const std::size_t n : {1U << 12, 1U << 13, 1U << 16, 1U << 20, 1U << 21}) {
    auto want = values_of_many_sizes<double>(n);
    auto one = want;
    auto two = want;
    by_definition(want);
    veil::fwht(one, 1);
    veil::fwht(two, 2);
    REQUIRE(one == want);
    REQUIRE(two == want);
  }
}

TEST_CASE("golden bits") {
  auto x = values_of_many_sizes<double>(1U << 14);
  auto y = values_of_many_sizes<float>(1U << 14);
  veil::fwht(x, 2);
  veil::fwht(y, 2);
  CHECK(fingerprint(x) == 8405949055849584555U);
  CHECK(fingerprint(y) == 11609174535541316900U);
}

TEST_CASE("a length that is no power of two is refused") {
  std::vector<double> three(3);
  std::vector<float> none;
  CHECK_THROWS_AS(veil::fwht(three, 1), std::invalid_argument);
  CHECK_THROWS_AS(veil::fwht(none, 1), std::invalid_argument);
}
