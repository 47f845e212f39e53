// Every instruction set against plain scalar C++, at edge lengths.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/floats.hpp"
#include "veil/reduce.hpp"

namespace {

using veil::FloatFormat;

// The definition, one column at a time: product, lattice point, integer sum, quotient.
double mean_of_column(const std::vector<double>& values, const veil::ScaledWeights& weights) {
  double top = 0;
  for (const double value : values) top = std::max(top, std::abs(value));
  const int exponent = top < 0x1p-1022 ? -1022 : std::ilogb(top);
  const double centre = std::ldexp(1.5, exponent);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double point = values[i] * weights.weights[i] + centre;
    sum += std::bit_cast<std::uint64_t>(point) - std::bit_cast<std::uint64_t>(centre);
  }
  const auto count = static_cast<double>(static_cast<std::int64_t>(sum));
  const double mean = std::ldexp(count * 0x1p-52 / weights.total, exponent);
  return std::max(-top, std::min(mean, top));
}

template <class Word>
std::vector<double> column(const std::vector<std::vector<Word>>& rows, std::size_t c) {
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(static_cast<double>(row[c]));
  return values;
}

template <class Word>
void check_every_set(FloatFormat format) {
  std::mt19937_64 bits(7);
  std::normal_distribution<double> normal;
  const std::size_t longest = 31 * 512;
  std::vector<std::vector<Word>> rows(8, std::vector<Word>(longest));
  std::vector<const void*> pointers;
  std::vector<double> weights;
  for (auto& row : rows) {
    const double scale = std::ldexp(1.0, static_cast<int>(bits() % 40) - 30);
    for (Word& word : row) word = static_cast<Word>(normal(bits) * scale);
    pointers.push_back(row.data());
    weights.push_back(static_cast<double>(bits() % 1000));
  }
  const auto scaled = veil::scale_weights(weights);
  std::vector<Word> want(longest);
  for (std::size_t c = 0; c < longest; ++c) {
    want[c] = static_cast<Word>(mean_of_column(column(rows, c), scaled));
  }
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    CAPTURE(table->name);
    for (const std::size_t length : {32UL, 33UL, 63UL, 64UL, 511UL, 512UL, 513UL, longest}) {
      std::vector<Word> got(length);
      const auto bad = table->weighted_mean[static_cast<unsigned>(format)](
          pointers.data(), scaled.weights.data(), rows.size(), 0, length, scaled.total, got.data());
      CHECK(bad == 0);
      CHECK(std::memcmp(got.data(), want.data(), length * sizeof(Word)) == 0);
    }
  }
}

}  // namespace

TEST_CASE("weighted_mean of float32 is its definition on every instruction set") {
  check_every_set<float>(FloatFormat::kFloat32);
}

TEST_CASE("weighted_mean of float64 is its definition on every instruction set") {
  check_every_set<double>(FloatFormat::kFloat64);
}

TEST_CASE("all instruction sets agree on half formats, special values included") {
  std::mt19937_64 bits(8);
  for (const FloatFormat format : {FloatFormat::kFloat16, FloatFormat::kBFloat16}) {
    const std::uint16_t infinity = format == FloatFormat::kFloat16 ? 0x7c00 : 0x7f80;
    std::vector<std::vector<std::uint16_t>> rows(4, std::vector<std::uint16_t>(4096));
    std::vector<const void*> pointers;
    for (auto& row : rows) {
      for (auto& word : row) {
        do word = static_cast<std::uint16_t>(bits());
        while ((word & infinity) == infinity);
      }
      pointers.push_back(row.data());
    }
    const auto scaled = veil::scale_weights(std::vector<double>{3, 1, 0, 7});
    std::vector<std::uint16_t> want;
    for (const veil::KernelTable* table : veil::supported_kernels()) {
      CAPTURE(table->name);
      const auto mean = table->weighted_mean[static_cast<unsigned>(format)];
      std::vector<std::uint16_t> got(4096);
      CHECK(mean(pointers.data(), scaled.weights.data(), 4, 0, 4096, scaled.total, got.data()) ==
            0);
      if (want.empty()) want = got;
      CHECK(got == want);
      rows[2][4095] |= infinity;
      CHECK(mean(pointers.data(), scaled.weights.data(), 4, 0, 4096, scaled.total, got.data()) ==
            1);
      rows[2][4095] = 0;
      want[4095] = got[4095];
      CHECK(mean(pointers.data(), scaled.weights.data(), 4, 0, 4096, scaled.total, got.data()) ==
            0);
      want[4095] = got[4095];
    }
  }
}

TEST_CASE("scale_weights keeps ratios, sums in any order and leaves headroom") {
  const auto scaled = veil::scale_weights(std::vector<double>{1, 3, 0});
  CHECK(scaled.weights[1] == 3 * scaled.weights[0]);
  CHECK(scaled.weights[1] < 0.25);
  CHECK(scaled.weights[1] >= 0.125);
  CHECK(scaled.total == scaled.weights[0] + scaled.weights[1]);
  const auto many = veil::scale_weights(std::vector<double>(4096, 1.0));
  CHECK(many.weights[0] * 4096 * 0x1p53 <= 0x1p63);
  CHECK_THROWS_AS(veil::scale_weights(std::vector<double>{}), std::invalid_argument);
  CHECK_THROWS_AS(veil::scale_weights(std::vector<double>{1, -1e-300}), std::invalid_argument);
  CHECK_THROWS_AS(veil::scale_weights(std::vector<double>{0.0, -0.0}), std::invalid_argument);
  CHECK_THROWS_AS(veil::scale_weights(std::vector<double>{std::nan("")}), std::invalid_argument);
}
