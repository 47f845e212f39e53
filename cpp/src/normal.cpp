#include "veil/normal.hpp"

#include "blocks.hpp"
#include "kernels/table.hpp"

namespace veil {
namespace {

constexpr BlockShape kNormalF32{192, 32};
constexpr BlockShape kNormalF64{128, 16};
constexpr BlockShape kLaplaceF32{192, 16};
constexpr BlockShape kLaplaceF64{128, 8};
constexpr BlockShape kUniformF32{64, 16};
constexpr BlockShape kUniformF64{64, 8};

template <BlockShape shape, class T, class Kernel, class... Parameters>
void draw(SecureGenerator& generator, std::span<T> out, int threads, Kernel kernel,
          Parameters... parameters) {
  const StreamSlice stream = generator.reserve(shape.bytes(out.size()));
  fill_blocks<shape>(stream, out, threads,
                     [=](const std::uint8_t* random, T* values, std::size_t blocks) {
                       kernel(random, values, blocks, parameters...);
                     });
}

}  // namespace

void normal(SecureGenerator& generator, std::span<float> out, float scale, int threads,
            const KernelTable& kernels) {
  draw<kNormalF32>(generator, out, threads, kernels.normal_f32, scale);
}

void normal(SecureGenerator& generator, std::span<double> out, double scale, int threads,
            const KernelTable& kernels) {
  draw<kNormalF64>(generator, out, threads, kernels.normal_f64, scale);
}

void laplace(SecureGenerator& generator, std::span<float> out, float scale, int threads,
             const KernelTable& kernels) {
  draw<kLaplaceF32>(generator, out, threads, kernels.laplace_f32, scale);
}

void laplace(SecureGenerator& generator, std::span<double> out, double scale, int threads,
             const KernelTable& kernels) {
  draw<kLaplaceF64>(generator, out, threads, kernels.laplace_f64, scale);
}

void uniform(SecureGenerator& generator, std::span<float> out, int threads,
             const KernelTable& kernels) {
  draw<kUniformF32>(generator, out, threads, kernels.uniform_f32);
}

void uniform(SecureGenerator& generator, std::span<double> out, int threads,
             const KernelTable& kernels) {
  draw<kUniformF64>(generator, out, threads, kernels.uniform_f64);
}

}  // namespace veil
