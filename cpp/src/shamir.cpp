#include "veil/shamir.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"
#include "veil/parallel.hpp"

namespace veil {
namespace {

constexpr std::size_t kPointsPerChunk = 64;
constexpr std::size_t kLanesPerChunk = 256;

std::uint64_t multiply(std::uint64_t a, std::uint64_t b) { return a * b % kShamirPrime; }

std::uint64_t invert(std::uint64_t value) {
  std::uint64_t result = 1;
  for (std::uint64_t exponent = kShamirPrime - 2; exponent > 0; exponent >>= 1) {
    if ((exponent & 1U) != 0) result = multiply(result, value);
    value = multiply(value, value);
  }
  return result;
}

void check_points(std::span<const std::uint32_t> points) {
  std::vector<std::uint32_t> sorted(points.begin(), points.end());
  std::sort(sorted.begin(), sorted.end());
  const bool in_range = !sorted.empty() && sorted.front() >= 1 && sorted.back() <= kShamirMaxPoint;
  if (!in_range) throw std::invalid_argument("points: expected 1 to 65535 each, and at least one");
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    throw std::invalid_argument("points: expected distinct values, got a repeated one");
  }
}

// Looks at every element whatever it finds: the position of a bad one is nobody's business.
void check_elements(std::span<const std::uint32_t> elements, const char* name) {
  std::uint32_t bad = 0;
  for (const std::uint32_t element : elements) {
    bad |= static_cast<std::uint32_t>(element >= kShamirPrime);
  }
  if (bad != 0) {
    throw std::invalid_argument(std::string(name) + ": expected elements below 2^31 + 11");
  }
}

}  // namespace

void shamir_split(std::span<const std::uint32_t> coefficients, std::size_t threshold,
                  std::span<const std::uint32_t> points, std::span<std::uint32_t> shares,
                  int threads) {
  check_points(points);
  check_elements(coefficients, "coefficients");
  if (threshold == 0 || coefficients.size() % threshold != 0) {
    throw std::invalid_argument("coefficients: expected shape (threshold, lanes), threshold >= 1");
  }
  const std::size_t lanes = coefficients.size() / threshold;
  if (shares.size() != points.size() * lanes) {
    throw std::invalid_argument("shares: expected shape (points, lanes)");
  }
  const KernelTable& table = active_kernels();
  const std::size_t chunks = (points.size() + kPointsPerChunk - 1) / kPointsPerChunk;
  parallel_for(chunks, threads, [&](std::size_t chunk) {
    const std::size_t first = chunk * kPointsPerChunk;
    const std::size_t count = std::min(kPointsPerChunk, points.size() - first);
    table.shamir_evaluate(coefficients.data(), threshold, lanes, points.data() + first, count,
                          shares.data() + first * lanes);
  });
}

void shamir_lagrange_weights(std::span<const std::uint32_t> points,
                             std::span<std::uint32_t> weights) {
  check_points(points);
  if (weights.size() != points.size()) {
    throw std::invalid_argument("weights: expected one per point");
  }
  for (std::size_t i = 0; i < points.size(); ++i) {
    std::uint64_t numerator = 1;
    std::uint64_t denominator = 1;
    for (std::size_t j = 0; j < points.size(); ++j) {
      if (j == i) continue;
      numerator = multiply(numerator, points[j]);
      denominator = multiply(denominator, (kShamirPrime + points[j] - points[i]) % kShamirPrime);
    }
    weights[i] = static_cast<std::uint32_t>(multiply(numerator, invert(denominator)));
  }
}

void shamir_combine(std::span<const std::uint32_t> weights, std::span<const std::uint32_t> shares,
                    std::span<std::uint32_t> secrets, int threads) {
  check_elements(weights, "weights");
  check_elements(shares, "shares");
  const std::size_t lanes = secrets.size();
  if (weights.empty() || shares.size() != weights.size() * lanes) {
    throw std::invalid_argument("shares: expected shape (weights, lanes), at least one share");
  }
  const KernelTable& table = active_kernels();
  const std::size_t chunks = (lanes + kLanesPerChunk - 1) / kLanesPerChunk;
  parallel_for(chunks, threads, [&](std::size_t chunk) {
    const std::size_t first = chunk * kLanesPerChunk;
    const std::size_t count = std::min(kLanesPerChunk, lanes - first);
    table.shamir_combine(weights.data(), shares.data() + first, weights.size(), lanes, count,
                         secrets.data() + first);
  });
}

}  // namespace veil
