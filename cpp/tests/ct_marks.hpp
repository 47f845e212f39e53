// Marks memory as secret (undefined) or public (defined) for valgrind's memcheck.
#pragma once

#include <valgrind/memcheck.h>

#include <cstdio>
#include <stdexcept>
#include <vector>

#include "kernels/table.hpp"
#include "veil/cpu.hpp"

namespace veil::ct {

inline constexpr int kSkipped = 77;  // the exit code that ctest reads as "skipped"

template <class T>
void mark_secret(std::vector<T>& values) {
  VALGRIND_MAKE_MEM_UNDEFINED(values.data(), values.size() * sizeof(T));
}

template <class T>
void mark_public(std::vector<T>& values) {
  VALGRIND_MAKE_MEM_DEFINED(values.data(), values.size() * sizeof(T));
}

// The table under test, or nullptr when this CPU lacks the one that VEIL_FORCE_ISA asks for.
inline const KernelTable* forced_kernels() {
  try {
    const KernelTable& table = active_kernels();
    std::printf("%s\n", table.name);
    return &table;
  } catch (const std::runtime_error& error) {
    std::printf("%s\n", error.what());
    return nullptr;
  }
}

}  // namespace veil::ct
