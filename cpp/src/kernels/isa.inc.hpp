// The body that every isa_*.cpp shares: all kernels in its own namespace, then its one table.
// VEIL_ISA and VEIL_VECTOR_BYTES are set by the includer, which has included the system headers.

#define VEIL_STRING_(x) #x
#define VEIL_STRING(x) VEIL_STRING_(x)

namespace veil::VEIL_ISA {
namespace {
// clang-format off: what others build on comes first, the algorithms follow by name
#include "kernels/vec.inc.hpp"
#include "kernels/stream.inc.hpp"
#include "kernels/floats.inc.hpp"
#include "kernels/lattice.inc.hpp"
// clang-format on
#include "kernels/aes.inc.hpp"
#include "kernels/chacha.inc.hpp"
#include "kernels/mean.inc.hpp"
#include "kernels/fixed_point.inc.hpp"
#include "kernels/pack.inc.hpp"
#include "kernels/ring.inc.hpp"
#include "kernels/shamir.inc.hpp"
// clang-format off: uniform takes the logarithm of normal
#include "kernels/normal.inc.hpp"
#include "kernels/uniform.inc.hpp"
// clang-format on
}  // namespace
}  // namespace veil::VEIL_ISA

namespace veil::kernels {
using namespace veil::VEIL_ISA;

constinit const KernelTable VEIL_ISA = {
    .name = VEIL_STRING(VEIL_ISA),
    .shamir_evaluate = shamir_evaluate,
    .shamir_combine = shamir_combine,
    .fixed_point_encode = {encode_format<Float32>, encode_format<Float64>, encode_format<Float16>,
                           encode_format<BFloat16>},
    .decode_sum_u32 = decode_sum_u32,
    .decode_sum_u64 = decode_sum_u64,
    .pack_bits_u32 = pack_bits_u32,
    .pack_bits_u64 = pack_bits_u64,
    .unpack_bits_u32 = unpack_bits_u32,
    .unpack_bits_u64 = unpack_bits_u64,
    .aes256_ctr = kAes256Ctr,
    .chacha20 = kChacha20,
    .ring_add_u32 = ring_add_u32,
    .ring_add_u64 = ring_add_u64,
    .normal_f32 = normal_f32,
    .normal_f64 = normal_f64,
    .laplace_f32 = laplace_f32,
    .laplace_f64 = laplace_f64,
    .uniform_f32 = uniform_f32,
    .uniform_f64 = uniform_f64,
    .integers_u64 = integers_u64,
    .bernoulli_u8 = bernoulli_u8,
    .weighted_mean = {weighted_mean<Float32>, weighted_mean<Float64>, weighted_mean<Float16>,
                      weighted_mean<BFloat16>},
};
}  // namespace veil::kernels
