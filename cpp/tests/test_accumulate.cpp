// Every instruction set's accumulators hold the same integers, and those are the definition's.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/table.hpp"
#include "veil/accumulate.hpp"
#include "veil/cpu.hpp"

namespace {

constexpr std::size_t kLength = 3 * 256 + 17;
constexpr std::size_t kBlocks = 4;
constexpr unsigned kFloat32 = 0;

std::vector<std::vector<float>> updates() {
  std::mt19937_64 bits(9);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> rows(6, std::vector<float>(kLength));
  const int scales[] = {-60, 0, 40, -3, 41, -120};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (float& word : rows[i]) word = std::ldexp(normal(bits), scales[i]);
  }
  return rows;
}

// Counts on the lattice of 2^exponent and on the one 2^40 finer.
struct Digits {
  std::uint64_t high, low;
};

Digits digits(double product, int exponent) {
  const double unit = std::ldexp(1.0, exponent);
  const double high = std::nearbyint(product / unit);
  const double low = std::nearbyint((product - high * unit) / std::ldexp(unit, -40));
  return {static_cast<std::uint64_t>(static_cast<std::int64_t>(high)),
          static_cast<std::uint64_t>(static_cast<std::int64_t>(low))};
}

}  // namespace

TEST_CASE("two-level sums are the digits of each product, on every instruction set") {
  const auto rows = updates();
  const double weight = 1.75;
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    CAPTURE(table->name);
    std::vector<std::uint64_t> high(kBlocks * 256), low(kBlocks * 256);
    std::vector<std::uint8_t> levels(kBlocks, veil::LevelSums::kLeastLevel);
    for (const auto& row : rows) {
      std::vector<double> tops(kBlocks);
      table->largest_magnitude[kFloat32](row.data(), 0, kLength, tops.data());
      table->accumulate_levels[kFloat32](row.data(), tops.data(), weight, 0, kLength, high.data(),
                                         low.data(), levels.data());
    }
    for (std::size_t i = 0; i < kLength; ++i) {
      const int exponent = 40 * (levels[i / 256] - 27);
      Digits want{0, 0};
      for (const auto& row : rows) {
        const Digits each = digits(static_cast<double>(row[i]) * weight, exponent);
        want.high += each.high;
        want.low += each.low;
      }
      REQUIRE(high[i] == want.high);
      REQUIRE(low[i] == want.low);
    }
    for (std::size_t i = kLength; i < high.size(); ++i) REQUIRE((high[i] | low[i]) == 0);
  }
}

TEST_CASE("bounded sums are rounded products, and taking back restores every bit") {
  const auto rows = updates();
  const veil::BoundedLattice lattice(0x1p50);
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    CAPTURE(table->name);
    std::vector<double> sums(kBlocks * 256, lattice.centre);
    for (const auto& row : rows) {
      CHECK(table->accumulate_bounded[kFloat32](row.data(), 0.5, 0, kLength, lattice.centre,
                                                lattice.limit(6), sums.data()) == 0);
    }
    for (std::size_t i = 0; i < kLength; ++i) {
      double want = 0;
      for (const auto& row : rows) want += std::nearbyint(row[i] * 0.5 / lattice.unit);
      REQUIRE((sums[i] - lattice.centre) / lattice.unit == want);
    }
    const auto before = sums;
    std::vector<float> bad(kLength, INFINITY);
    bad[3] = NAN;
    bad[4] = 0x1p100F;
    CHECK(table->accumulate_bounded[kFloat32](bad.data(), 2, 0, kLength, lattice.centre,
                                              lattice.limit(7), sums.data()) == 1);
    table->retract_bounded[kFloat32](bad.data(), 2, 0, kLength, lattice.centre, lattice.limit(7),
                                     sums.data());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      REQUIRE(std::bit_cast<std::uint64_t>(sums[i]) == std::bit_cast<std::uint64_t>(before[i]));
    }
  }
}

TEST_CASE("the bounded lattice has room for the bound and its roundings, not for twice the bound") {
  for (const double bound : {1.0, 1.5, 0x1p-960, 0x1p960, 3e7}) {
    const veil::BoundedLattice lattice(bound);
    CHECK(bound <= 0x1p50 * lattice.unit);
    CHECK(bound > 0x1p49 * lattice.unit);
    CHECK(lattice.centre == 0x1.8p52 * lattice.unit);
    CHECK(lattice.limit(1 << 20) < std::uint64_t{1} << 51);
  }
  CHECK_THROWS_AS(veil::BoundedLattice(0.0), std::invalid_argument);
  CHECK_THROWS_AS(veil::BoundedLattice(-1.0), std::invalid_argument);
  CHECK_THROWS_AS(veil::BoundedLattice{std::nan("")}, std::invalid_argument);
}
