#include "veil/cpu.hpp"

#include <cstdint>
#include <cstdlib>
#include <stdexcept>

#include "kernels/table.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace veil {
namespace {

struct Features {
  bool avx2 = false;
  bool vaes = false;
};

#if defined(__x86_64__)
constexpr bool has(std::uint32_t word, unsigned bit) { return ((word >> bit) & 1U) != 0; }

std::uint64_t xgetbv0() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

Features detect() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return {};
  const bool osxsave = has(c, 27);
  const bool base = has(c, 1) && has(c, 25) && has(c, 28) && has(c, 29);  // PCLMUL AES AVX F16C
  // The OS must save the SSE and AVX halves of the registers, whatever the CPU has.
  if (!osxsave || !base || (xgetbv0() & 0x6U) != 0x6U) return {};
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return {};
  Features features;
  features.avx2 = has(b, 5) && has(b, 3) && has(b, 8);  // AVX2 BMI1 BMI2
  features.vaes = features.avx2 && has(c, 9);
  return features;
}
#else
Features detect() { return {}; }
#endif

const KernelTable& choose() {
  const auto supported = supported_kernels();
  const char* forced = std::getenv("VEIL_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') return *supported.back();
  if (const KernelTable* table = find_kernels(forced)) return *table;
  std::string names;
  for (const KernelTable* table : supported)
    names += std::string(names.empty() ? "" : ", ") + table->name;
  throw std::runtime_error("VEIL_FORCE_ISA=" + std::string(forced) +
                           " is not available here; this build and CPU have: " + names);
}

}  // namespace

std::vector<const KernelTable*> supported_kernels() {
  std::vector<const KernelTable*> supported{&kernels::baseline};
  [[maybe_unused]] const Features features = detect();
#if defined(__x86_64__)
  if (features.avx2) supported.push_back(&kernels::avx2);
  if (features.vaes) supported.push_back(&kernels::vaes);
#endif
  return supported;
}

const KernelTable* find_kernels(std::string_view name) {
  for (const KernelTable* table : supported_kernels()) {
    if (name == table->name) return table;
  }
  return nullptr;
}

const KernelTable& active_kernels() {
  static const KernelTable& chosen = choose();
  return chosen;
}

}  // namespace veil
