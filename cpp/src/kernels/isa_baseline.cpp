// Instruction set `baseline`: every kernel, compiled with this set's flags; exports one
// KernelTable.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/table.hpp"

#define VEIL_VECTOR_BYTES 16

namespace veil::baseline {
namespace {
#include "kernels/vec.inc.hpp"
}  // namespace
}  // namespace veil::baseline

namespace veil::kernels {
constinit const KernelTable baseline = {
    .name = "baseline",
};
}  // namespace veil::kernels
