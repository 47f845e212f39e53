// The one interface between the core and its instruction sets: a struct of function pointers.
// Kernels know no std container, no allocation and no exception; callers check every precondition.
#pragma once

#include <cstddef>
#include <cstdint>

namespace veil {

struct KernelTable {
  const char* name;
};

namespace kernels {
extern const KernelTable baseline;
extern const KernelTable avx2;
extern const KernelTable vaes;
}  // namespace kernels

}  // namespace veil
