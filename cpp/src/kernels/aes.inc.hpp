// AES-256-CTR: the counter is the whole block, 128 bits, big-endian (SP 800-38A, B.1, m = 128).
#if defined(__AES__)
#include "kernels/aes_ni.inc.hpp"
#else
#include "kernels/aes_bitsliced.inc.hpp"
#endif

constexpr StreamKernels kAes256Ctr = {
    .expand = aes256_expand,
    .fill = stream_fill<AesGenerator>,
    .mask_add_u32 = stream_mask_add<AesGenerator, std::uint32_t>,
    .mask_add_u64 = stream_mask_add<AesGenerator, std::uint64_t>,
};
