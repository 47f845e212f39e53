// Exact draws from a cryptographic stream: bounded integers, coin flips, permutations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "veil/cpu.hpp"
#include "veil/generator.hpp"

namespace veil {

// Integers in [0, high), 128 random bits each: within high * 2^-128 of uniform in total variation.
// Throws std::invalid_argument if high is 0.
void integers(SecureGenerator& generator, std::span<std::uint64_t> out, std::uint64_t high,
              int threads, const KernelTable& kernels = active_kernels());

// 1 with probability threshold / 2^64 exactly, else 0.
void bernoulli(SecureGenerator& generator, std::span<std::uint8_t> out, std::uint64_t threshold,
               int threads, const KernelTable& kernels = active_kernels());

// A permutation of 0 .. n-1 by Fisher-Yates: within n^2 * 2^-129 of uniform in total variation.
void permutation(SecureGenerator& generator, std::span<std::uint64_t> out,
                 const KernelTable& kernels = active_kernels());

}  // namespace veil
