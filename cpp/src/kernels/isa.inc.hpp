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
#include "kernels/accumulate.inc.hpp"
#include "kernels/aes.inc.hpp"
#include "kernels/cells.inc.hpp"
#include "kernels/chacha.inc.hpp"
#include "kernels/fixed_point.inc.hpp"
#include "kernels/fwht.inc.hpp"
#include "kernels/lattice_add.inc.hpp"
#include "kernels/mean.inc.hpp"
#include "kernels/pack.inc.hpp"
#include "kernels/ring.inc.hpp"
#include "kernels/shamir.inc.hpp"
#include "kernels/table_sampler.inc.hpp"
// clang-format off: uniform takes the logarithm of normal
#include "kernels/normal.inc.hpp"
#include "kernels/uniform.inc.hpp"
// clang-format on
}  // namespace
}  // namespace veil::VEIL_ISA

namespace veil::kernels {
using namespace veil::VEIL_ISA;

// In the order of FloatFormat.
#define VEIL_EACH_FORMAT(kernel) \
  {kernel<Float32>, kernel<Float64>, kernel<Float16>, kernel<BFloat16>}

constinit const KernelTable VEIL_ISA = {
    .name = VEIL_STRING(VEIL_ISA),
    .shamir_evaluate = shamir_evaluate,
    .shamir_combine = shamir_combine,
    .fixed_point_encode = VEIL_EACH_FORMAT(encode_format),
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
    .table_add = table_add,
    .lattice_add = {lattice_add<Float32>, lattice_add<Float64>},
    .cell_slots = {cell_slots<Float32>, cell_slots<Float64>},
    .weighted_mean = VEIL_EACH_FORMAT(weighted_mean),
    .fwht_block_f32 = fwht_block<FwhtFloat32>,
    .fwht_block_f64 = fwht_block<FwhtFloat64>,
    .fwht_columns_f32 = fwht_columns<FwhtFloat32>,
    .fwht_columns_f64 = fwht_columns<FwhtFloat64>,
    .accumulate_bounded = VEIL_EACH_FORMAT(add_bounded),
    .retract_bounded = VEIL_EACH_FORMAT(retract_bounded),
    .mean_bounded = VEIL_EACH_FORMAT(mean_bounded),
    .largest_magnitude = VEIL_EACH_FORMAT(largest_magnitude),
    .accumulate_levels = VEIL_EACH_FORMAT(accumulate_levels),
    .mean_levels = VEIL_EACH_FORMAT(mean_levels),
};
}  // namespace veil::kernels
