// The one interface between the core and its instruction sets: a struct of function pointers.
// Kernels know no std container, no allocation and no exception; callers check every precondition.
#pragma once

#include <cstddef>
#include <cstdint>

namespace veil {

struct KernelTable {
  const char* name;

  void (*shamir_evaluate)(const std::uint32_t* coefficients, std::size_t threshold,
                          std::size_t lanes, const std::uint32_t* x, std::size_t points,
                          std::uint32_t* out);
  void (*shamir_combine)(const std::uint32_t* weights, const std::uint32_t* shares,
                         std::size_t count, std::size_t stride, std::size_t lanes,
                         std::uint32_t* out);
};

namespace kernels {
extern const KernelTable baseline;
extern const KernelTable avx2;
extern const KernelTable vaes;
}  // namespace kernels

}  // namespace veil
