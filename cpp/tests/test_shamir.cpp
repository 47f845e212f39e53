#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/shamir.hpp"

namespace {

constexpr std::uint64_t kPrime = veil::kShamirPrime;

// A quarter of the draws are the values at which reductions break.
std::vector<std::uint32_t> weird_elements(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  const std::uint32_t weird[] = {0, 1, 2, 0x7fffffffU, 0x80000000U, veil::kShamirPrime - 1};
  std::vector<std::uint32_t> elements(count);
  for (auto& element : elements) {
    element =
        random() % 4 == 0 ? weird[random() % 6] : static_cast<std::uint32_t>(random() % kPrime);
  }
  return elements;
}

std::uint32_t horner(const std::vector<std::uint32_t>& coefficients, std::size_t threshold,
                     std::size_t lanes, std::size_t lane, std::uint64_t x) {
  std::uint64_t value = 0;
  for (std::size_t j = threshold; j-- > 0;) {
    value = (value * x + coefficients[j * lanes + lane]) % kPrime;
  }
  return static_cast<std::uint32_t>(value);
}

std::vector<std::uint32_t> points_up_to(std::size_t count, std::uint32_t last) {
  std::vector<std::uint32_t> points(count);
  for (std::size_t i = 0; i < count; ++i) points[i] = last - static_cast<std::uint32_t>(i);
  return points;
}

}  // namespace

TEST_CASE("the prime is 2^31 + 11 and prime") {
  CHECK(kPrime == (1ULL << 31) + 11);
  for (std::uint64_t d = 2; d * d <= kPrime; ++d) REQUIRE(kPrime % d != 0);
}

TEST_CASE("every instruction set evaluates and combines as scalar arithmetic does") {
  for (const veil::KernelTable* table : veil::supported_kernels()) {
    for (const std::size_t points : {1U, 3U, 4U, 5U, 15U, 16U, 17U, 100U}) {
      for (const std::size_t lanes : {1U, 3U, 4U, 9U, 18U}) {
        const std::size_t threshold = points / 2 + 1;
        const auto coefficients = weird_elements(threshold * lanes, 7);
        const auto x = points_up_to(points, veil::kShamirMaxPoint);
        std::vector<std::uint32_t> shares(points * lanes);
        table->shamir_evaluate(coefficients.data(), threshold, lanes, x.data(), points,
                               shares.data());
        const auto weights = weird_elements(points, 9);
        std::vector<std::uint32_t> combined(lanes);
        table->shamir_combine(weights.data(), shares.data(), points, lanes, lanes, combined.data());
        for (std::size_t lane = 0; lane < lanes; ++lane) {
          std::uint64_t sum = 0;
          for (std::size_t i = 0; i < points; ++i) {
            const std::uint32_t share = shares[i * lanes + lane];
            REQUIRE(share == horner(coefficients, threshold, lanes, lane, x[i]));
            sum = (sum + static_cast<std::uint64_t>(weights[i]) * share) % kPrime;
          }
          REQUIRE(combined[lane] == sum);
        }
      }
    }
  }
}

TEST_CASE("any threshold of the shares gives the secrets back") {
  const std::size_t threshold = 51;
  const std::size_t lanes = 18;
  const auto coefficients = weird_elements(threshold * lanes, 1);
  const auto x = points_up_to(100, 100);
  std::vector<std::uint32_t> shares(100 * lanes);
  veil::shamir_split(coefficients, threshold, x, shares, 2);
  for (const std::size_t first : {0U, 20U, 49U}) {
    std::vector<std::uint32_t> weights(threshold);
    veil::shamir_lagrange_weights(std::span(x).subspan(first, threshold), weights);
    std::vector<std::uint32_t> secrets(lanes);
    veil::shamir_combine(weights, std::span(shares).subspan(first * lanes, threshold * lanes),
                         secrets, 2);
    CHECK(std::equal(secrets.begin(), secrets.end(), coefficients.begin()));
  }
}

TEST_CASE("points and elements out of range are refused") {
  std::vector<std::uint32_t> one(1);
  const std::vector<std::uint32_t> secret{5};
  const auto split_at = [&](std::vector<std::uint32_t> x) {
    std::vector<std::uint32_t> shares(x.size());
    veil::shamir_split(secret, 1, x, shares, 1);
  };
  CHECK_THROWS_AS(split_at({0}), std::invalid_argument);
  CHECK_THROWS_AS(split_at({65536}), std::invalid_argument);
  CHECK_THROWS_AS(split_at({3, 3}), std::invalid_argument);
  const std::vector<std::uint32_t> bad{veil::kShamirPrime};
  CHECK_THROWS_AS(veil::shamir_split(bad, 1, secret, one, 1), std::invalid_argument);
  CHECK_THROWS_AS(veil::shamir_combine(secret, bad, one, 1), std::invalid_argument);
}
