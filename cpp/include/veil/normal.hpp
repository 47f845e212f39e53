// Floating-point variates from a cryptographic stream: normal, Laplace, uniform. Float noise: its
// low bits carry information, so a differentially private release needs table_sampler.hpp instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "veil/cpu.hpp"
#include "veil/generator.hpp"

namespace veil {

// Every function fills `out` with independent variates from one reserve() of the generator, the
// same bits on any instruction set and number of threads.

// Box-Muller with 64 random bits of radius: |z| <= 9.49 scale. Error of z / scale, in units of its
// last place: below 8.
void normal(SecureGenerator& generator, std::span<float> out, float scale, int threads,
            const KernelTable& kernels = active_kernels());
void normal(SecureGenerator& generator, std::span<double> out, double scale, int threads,
            const KernelTable& kernels = active_kernels());

// -scale * ln u with a random sign, 64 random bits in u.
void laplace(SecureGenerator& generator, std::span<float> out, float scale, int threads,
             const KernelTable& kernels = active_kernels());
void laplace(SecureGenerator& generator, std::span<double> out, double scale, int threads,
             const KernelTable& kernels = active_kernels());

// Multiples of 2^-24 (float) or 2^-53 (double) in [0, 1).
void uniform(SecureGenerator& generator, std::span<float> out, int threads,
             const KernelTable& kernels = active_kernels());
void uniform(SecureGenerator& generator, std::span<double> out, int threads,
             const KernelTable& kernels = active_kernels());

}  // namespace veil
