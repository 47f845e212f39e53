// Shamir secret sharing over GF(p), p = 2^31 + 11, batched over secrets and their limbs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace veil {

inline constexpr std::uint32_t kShamirPrime = 2147483659U;
inline constexpr std::uint32_t kShamirMaxPoint = (1U << 16) - 1;

// Evaluates `lanes` polynomials at every point. coefficients is [threshold][lanes], row 0 the
// secrets; shares is [points][lanes]. Throws std::invalid_argument unless 1 <= x <=
// kShamirMaxPoint, the points differ, and every coefficient is below p. Time depends on the sizes
// alone.
void shamir_split(std::span<const std::uint32_t> coefficients, std::size_t threshold,
                  std::span<const std::uint32_t> points, std::span<std::uint32_t> shares,
                  int threads);

// The weights w with f(0) = sum_i w[i] f(points[i]) for every polynomial of degree < points.size().
void shamir_lagrange_weights(std::span<const std::uint32_t> points,
                             std::span<std::uint32_t> weights);

// secrets[l] = sum_i weights[i] * shares[i][l]. Throws std::invalid_argument if a share is not
// below p.
void shamir_combine(std::span<const std::uint32_t> weights, std::span<const std::uint32_t> shares,
                    std::span<std::uint32_t> secrets, int threads);

}  // namespace veil
