// Instruction set `baseline`: every kernel, compiled with this set's flags; exports one
// KernelTable.
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/table.hpp"

#define VEIL_ISA baseline
#define VEIL_VECTOR_BYTES 16
#include "kernels/isa.inc.hpp"
