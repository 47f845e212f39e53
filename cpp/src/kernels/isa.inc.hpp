// The body that every isa_*.cpp shares: all kernels in its own namespace, then its one table.
// VEIL_ISA and VEIL_VECTOR_BYTES are set by the includer, which has included the system headers.

#define VEIL_STRING_(x) #x
#define VEIL_STRING(x) VEIL_STRING_(x)

namespace veil::VEIL_ISA {
namespace {
// clang-format off: vec.inc.hpp comes first, the algorithms follow by name
#include "kernels/vec.inc.hpp"
#include "kernels/shamir.inc.hpp"
// clang-format on
}  // namespace
}  // namespace veil::VEIL_ISA

namespace veil::kernels {
using namespace veil::VEIL_ISA;

constinit const KernelTable VEIL_ISA = {
    .name = VEIL_STRING(VEIL_ISA),
    .shamir_evaluate = shamir_evaluate,
    .shamir_combine = shamir_combine,
};
}  // namespace veil::kernels
