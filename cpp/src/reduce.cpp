#include "veil/reduce.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/table.hpp"
#include "text.hpp"
#include "veil/cpu.hpp"
#include "veil/parallel.hpp"

namespace veil {
namespace {

// What the kernel asks for: columns per call, and updates in groups.
constexpr std::size_t kTile = 32;
constexpr std::size_t kGroup = 4;
constexpr std::size_t kChunk = 1 << 14;  // columns per task

// Neumaier's compensated sum over the sorted values: no order, error below 2^-52 relative.
double ordered_sum(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  double sum = 0;
  double lost = 0;
  for (const double value : values) {
    const double next = sum + value;
    lost += std::abs(sum) >= std::abs(value) ? (sum - next) + value : (value - next) + sum;
    sum = next;
  }
  return sum + lost;
}

// True if all values are finite.
bool mean_of_long(FloatFormat format, std::span<const void* const> rows,
                  const ScaledWeights& scaled, std::size_t length, void* out, int threads) {
  const auto mean = active_kernels().weighted_mean[static_cast<unsigned>(format)];
  // The last task takes what is left, so that none is shorter than a tile.
  const std::size_t tasks = std::max<std::size_t>(1, length / kChunk);
  std::atomic<std::uint32_t> bad{0};
  const auto mean_of_task = [&](std::size_t task) {
    const std::size_t end = task + 1 == tasks ? length : (task + 1) * kChunk;
    bad |= mean(rows.data(), scaled.weights.data(), rows.size(), task * kChunk, end, scaled.total,
                out);
  };
  parallel_for(tasks, threads, mean_of_task, Subnormals::kept);
  return bad == 0;
}

// Rows shorter than a tile, copied and padded with zeros.
bool mean_of_short(FloatFormat format, std::span<const void* const> rows,
                   const ScaledWeights& scaled, std::size_t length, void* out) {
  if (length == 0) return true;
  const std::size_t stride = kTile * bytes_of(format);
  std::vector<std::byte> copies(rows.size() * stride);
  std::vector<const void*> padded;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    padded.push_back(copies.data() + i * stride);
    std::memcpy(copies.data() + i * stride, rows[i], length * bytes_of(format));
  }
  std::vector<std::byte> mean(stride);
  const bool finite = mean_of_long(format, padded, scaled, kTile, mean.data(), 1);
  std::memcpy(out, mean.data(), length * bytes_of(format));
  return finite;
}

}  // namespace

ScaledWeights scale_weights(std::span<const double> weights) {
  const FloatMode mode(Subnormals::kept);
  double largest = 0;
  for (const double weight : weights) {
    if (!(weight >= 0) || std::isinf(weight)) {
      throw std::invalid_argument("weights: expected finite values of at least 0, got " +
                                  shortest(weight));
    }
    largest = std::max(largest, weight);
  }
  if (largest == 0) {
    throw std::invalid_argument("weights: expected at least one above 0, got none");
  }
  // The largest lands in [1/8, 1/4), and lower when more than 2^12 - 1 lattice points of up to
  // 2^51 are added, so that their sum fits an int64.
  const int headroom = std::max(0, static_cast<int>(std::bit_width(weights.size())) - 12);
  const int shift = -std::ilogb(largest) - 3 - headroom;
  ScaledWeights scaled{std::vector<double>(weights.begin(), weights.end()), 0};
  for (double& weight : scaled.weights) weight = std::scalbn(weight, shift);
  scaled.total = ordered_sum(scaled.weights);
  return scaled;
}

void weighted_mean(FloatFormat format, std::span<const void* const> rows,
                   std::span<const double> weights, std::size_t length, void* out, int threads) {
  if (rows.size() != weights.size()) {
    throw std::invalid_argument("weights: expected one per update, " + std::to_string(rows.size()) +
                                ", got " + std::to_string(weights.size()));
  }
  ScaledWeights scaled = scale_weights(weights);
  std::vector<const void*> grouped(rows.begin(), rows.end());
  grouped.resize((rows.size() + kGroup - 1) / kGroup * kGroup, rows.front());
  scaled.weights.resize(grouped.size(), 0.0);
  const bool finite = length < kTile ? mean_of_short(format, grouped, scaled, length, out)
                                     : mean_of_long(format, grouped, scaled, length, out, threads);
  if (finite) return;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    require_finite(format, rows[i], length, "updates[" + std::to_string(i) + "]");
  }
}

}  // namespace veil
