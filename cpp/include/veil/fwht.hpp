// The fast Walsh-Hadamard transform, in place and unnormalised (Fino and Algazi 1976).
#pragma once

#include <span>

namespace veil {

// x becomes H x, H the Hadamard matrix in natural (Sylvester) order: applied twice it gives n * x.
// Throws std::invalid_argument unless the length is a power of two. The bits depend on the values
// alone, not on the instruction set or the number of threads.
void fwht(std::span<float> x, int threads);
void fwht(std::span<double> x, int threads);

}  // namespace veil
