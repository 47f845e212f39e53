// Instruction set `avx2`: every kernel, compiled with this set's flags; exports one KernelTable.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/table.hpp"

#define VEIL_VECTOR_BYTES 32

namespace veil::avx2 {
namespace {
#include "kernels/vec.inc.hpp"
}  // namespace
}  // namespace veil::avx2

namespace veil::kernels {
constinit const KernelTable avx2 = {
    .name = "avx2",
};
}  // namespace veil::kernels
