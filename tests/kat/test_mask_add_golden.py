"""Golden bits of mask_add: a change of them breaks every deployed cohort."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from veil import ring

pytestmark = pytest.mark.kernel
VECTORS = json.loads((Path(__file__).parent / "vectors" / "mask_add.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['cipher']}-{v['bits']}")
@pytest.mark.parametrize("threads", [1, 2])
def test_mask_add_gives_the_golden_bits(vector, threads):
    dtype = np.dtype(f"<u{vector['bits'] // 8}").type
    x = np.arange(vector["length"], dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    joined = bytes((7 * i + i // 32) % 256 for i in range(32 * len(vector["signs"])))
    keys = [joined[i : i + 32] for i in range(0, len(joined), 32)]
    masked = ring.mask_add(
        x.astype(dtype),
        keys,
        vector["signs"],
        offset=vector["offset"],
        cipher=vector["cipher"],
        threads=threads,
    )
    assert masked[:3].tolist() == vector["first_words"]
    assert hashlib.sha256(masked.tobytes()).hexdigest() == vector["sha256"]
