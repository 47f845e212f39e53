// Which instruction set runs: chosen once, from cpuid and xgetbv, or forced by VEIL_FORCE_ISA.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace veil {

struct KernelTable;

// The table chosen for this process. Throws std::runtime_error when VEIL_FORCE_ISA names a set
// that this build or this CPU lacks; the choice is made on the first call and never changes.
const KernelTable& active_kernels();

// The sets that both this build and this CPU have, narrowest first; `baseline` is always there.
std::vector<const KernelTable*> supported_kernels();

// The supported set of that name, or nullptr.
const KernelTable* find_kernels(std::string_view name);

}  // namespace veil
