// How a thread rounds, and what it makes of subnormal floats, for the length of a scope.
#pragma once

#include <cstdint>

namespace veil {

// What arithmetic makes of numbers below the least normal one: CPUs may take a hundred times as
// long over them, so code on secret values takes them, as operands and as results, for zero.
enum class Subnormals { zero, kept };

// Until it goes out of scope: rounding to nearest, no traps, and subnormals as asked, whatever the
// caller had; then the caller's control word and exception flags as they were. For one thread: it
// must end on the thread that made it, in the reverse order of making.
class FloatMode {
 public:
  explicit FloatMode(Subnormals subnormals);
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;
  ~FloatMode();

 private:
  std::uint64_t control_;
  std::uint64_t flags_ = 0;  // where the control word does not hold them
};

}  // namespace veil
