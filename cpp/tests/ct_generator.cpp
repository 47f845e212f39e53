// Are the generator's key and its draws free of branches and addresses? As in ct_keystream.cpp: the
// seed is marked undefined, and with it every draw. Permutations and table draws are not here:
// their addresses depend on what is drawn, as SECURITY.md says. Usage: ct_generator [branch]; with
// the argument a deliberate leak must be reported.
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "ct_marks.hpp"
#include "veil/discrete.hpp"
#include "veil/generator.hpp"
#include "veil/normal.hpp"

namespace {

constexpr std::size_t kDraws = 1003;

template <class T, class Draw>
void draw(Draw sample) {
  std::vector<std::uint8_t> seed(32, 7);
  veil::ct::mark_secret(seed);
  veil::SecureGenerator generator(seed);
  std::vector<T> values(kDraws);
  sample(generator, std::span(values));
  veil::ct::mark_public(values);
  std::printf("drawn %.17g\n", static_cast<double>(values[kDraws - 1]));
}

template <class T>
void draw_floats() {
  draw<T>([](auto& generator, auto out) { veil::normal(generator, out, T{2}, 1); });
  draw<T>([](auto& generator, auto out) { veil::laplace(generator, out, T{2}, 1); });
  draw<T>([](auto& generator, auto out) { veil::uniform(generator, out, 1); });
}

// The control: what the checker must report.
void leak_by_branch() {
  draw<double>([](auto& generator, auto out) {
    veil::normal(generator, out, 1.0, 1);
    volatile int negative = 0;
    if (out[0] < 0) negative = negative + 1;
  });
}

void check_everything() {
  draw_floats<float>();
  draw_floats<double>();
  draw<std::uint64_t>([](auto& generator, auto out) { veil::integers(generator, out, 1000, 1); });
  draw<std::uint8_t>(
      [](auto& generator, auto out) { veil::bernoulli(generator, out, 1ULL << 60, 1); });
}

}  // namespace

int main(int argc, char** argv) {
  if (veil::ct::forced_kernels() == nullptr) return veil::ct::kSkipped;
  const std::string_view leak = argc > 1 ? argv[1] : "";
  if (leak == "branch") leak_by_branch();
  if (leak.empty()) check_everything();
  return 0;
}
