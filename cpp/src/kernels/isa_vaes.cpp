// Instruction set `vaes`: every kernel, compiled with this set's flags; exports one KernelTable.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/table.hpp"

#define VEIL_VECTOR_BYTES 32

namespace veil::vaes {
namespace {
#include "kernels/vec.inc.hpp"
}  // namespace
}  // namespace veil::vaes

namespace veil::kernels {
constinit const KernelTable vaes = {
    .name = "vaes",
};
}  // namespace veil::kernels
