#include "veil/float_mode.hpp"

namespace veil {
namespace {

// "memory" keeps the compiler from moving calls of kernels across a change of mode.
#if defined(__x86_64__)
constexpr std::uint64_t kPlain = 0x1f80;           // MXCSR: all exceptions masked, to nearest
constexpr std::uint64_t kZeroSubnormals = 0x8040;  // FTZ for results, DAZ for operands

std::uint64_t read_control() {
  std::uint32_t word = 0;
  __asm__ volatile("stmxcsr %0" : "=m"(word) : : "memory");
  return word;
}

void write_control(std::uint64_t word) {
  const auto narrow = static_cast<std::uint32_t>(word);
  __asm__ volatile("ldmxcsr %0" : : "m"(narrow) : "memory");
}

std::uint64_t read_flags() { return 0; }  // MXCSR holds them, too
void write_flags(std::uint64_t) {}
#elif defined(__aarch64__)
constexpr std::uint64_t kPlain = 0;
constexpr std::uint64_t kZeroSubnormals = std::uint64_t{1} << 24;  // FPCR.FZ: both directions

std::uint64_t read_control() {
  std::uint64_t word = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(word) : : "memory");
  return word;
}

void write_control(std::uint64_t word) {
  __asm__ volatile("msr fpcr, %0" : : "r"(word) : "memory");
}

std::uint64_t read_flags() {
  std::uint64_t word = 0;
  __asm__ volatile("mrs %0, fpsr" : "=r"(word) : : "memory");
  return word;
}

void write_flags(std::uint64_t word) { __asm__ volatile("msr fpsr, %0" : : "r"(word) : "memory"); }
#else
// No mode is known here: subnormals are kept, and cost what the CPU makes them cost.
constexpr std::uint64_t kPlain = 0;
constexpr std::uint64_t kZeroSubnormals = 0;

std::uint64_t read_control() { return 0; }
void write_control(std::uint64_t) {}
std::uint64_t read_flags() { return 0; }
void write_flags(std::uint64_t) {}
#endif

}  // namespace

FloatMode::FloatMode(Subnormals subnormals) : control_(read_control()), flags_(read_flags()) {
  write_control(subnormals == Subnormals::zero ? kPlain | kZeroSubnormals : kPlain);
}

FloatMode::~FloatMode() {
  write_control(control_);
  write_flags(flags_);
}

}  // namespace veil
