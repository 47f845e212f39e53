// Reproducible reductions: the same bits for any order of the updates, on any number of threads
// and on every instruction set.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "veil/floats.hpp"

namespace veil {

struct ScaledWeights {
  std::vector<double> weights;  // times one power of two: all below 1/4
  double total = 0;             // their sum; the same for any order
};

// Throws std::invalid_argument if a weight is negative or not finite, or all are zero.
ScaledWeights scale_weights(std::span<const double> weights);

// out = sum(weights[i] * rows[i]) / sum(weights), rounded to nearest in the rows' format; every
// row and `out` hold `length` words of that format, and `out` overlaps no row. Error of a column:
// at most (1 + n*max(w)/sum(w)) * 2^-50 * max|x| before that rounding, for n < 4096 updates; each
// doubling of n from there on doubles it. Throws std::invalid_argument if the weights are not
// finite, negative or all zero, and NotFinite, after `out` was written in part.
void weighted_mean(FloatFormat format, std::span<const void* const> rows,
                   std::span<const double> weights, std::size_t length, void* out, int threads);

}  // namespace veil
