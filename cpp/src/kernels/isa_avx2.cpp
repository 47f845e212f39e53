// Instruction set `avx2`: every kernel, compiled with this set's flags; exports one KernelTable.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/table.hpp"

#define VEIL_ISA avx2
#define VEIL_VECTOR_BYTES 32
#include "kernels/isa.inc.hpp"
