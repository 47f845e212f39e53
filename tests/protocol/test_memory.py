"""A client holds its message and one block, the server one total and one message, at any length."""

import subprocess
import sys

import pytest

LENGTH = 4_000_000
VECTOR = 4 * LENGTH  # bytes of 32-bit ring words

# Each measurement is a process of its own: its peak resident size tells what was ever held.
CODE = """
import resource, sys
import numpy as np
import veil
from veil.secagg import Config
from veil.secagg.masking import MaskKeys, add_packed, mask_and_pack, unmask
from veil.secagg.server.total import RingTotal

length, side = int(sys.argv[1]), sys.argv[2]
codec = veil.FixedPoint(clip=1.0, bits=29, max_summands=5, rounding="nearest")
config = Config.for_cohort(5, dropout=1, corrupt=1, adversary="honest-but-curious",
                           min_survivors=None, codec=codec, length=length)
masks = MaskKeys([bytes([i]) * 32 for i in range(1, 5)], [1, -1, 1, 1])
vector = np.full(length, 0.5, np.float32)
message = mask_and_pack(config, masks, vector[:], None, None) if side == "server" else None
small = Config.from_dict({**config.to_dict(), "length": 70_000})
total = RingTotal(small)  # loads and warms every code path at a small length
add_packed(small, total.words, memoryview(mask_and_pack(small, masks, vector[:70_000], None, None)))
unmask(small, total.words, MaskKeys(masks.keys, [-s for s in masks.signs]), threads=1)
total.decode(1, 1.0)
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
if side == "client":
    kept = mask_and_pack(config, masks, vector, None, None)
else:
    total = RingTotal(config)
    add_packed(config, total.words, memoryview(message))
    unmask(config, total.words, MaskKeys(masks.keys, [-s for s in masks.signs]), threads=1)
    assert total.decode(1, 1.0)[-1] == 0.5
print(peak() - before)
"""


def extra_bytes(side):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(LENGTH), side], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize(("side", "vectors"), [("client", 1), ("server", 2)])
def test_peak_memory(side, vectors):
    extra = extra_bytes(side)
    assert extra <= vectors * VECTOR + (1 << 20), (
        f"{side}: expected at most {vectors} vectors of {VECTOR} bytes and 1 MiB, got {extra}"
    )
