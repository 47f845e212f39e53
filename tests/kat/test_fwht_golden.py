"""Golden bits of the Walsh-Hadamard transform and of the rotation built on it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from veil import _core
from veil.fl.privacy.rotation import Rotation

GOLDEN = json.loads((Path(__file__).parent / "vectors" / "fwht.json").read_text())

pytestmark = pytest.mark.kernel


def values(n, dtype):
    """Values of very different sizes, from integer arithmetic alone."""
    at = np.arange(n)
    unit = (at * 104_729) % 65_521 / 65_521 - 0.5
    return (unit * 2.0 ** (at * 7919 % 23 - 11)).astype(dtype)


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"{c['dtype']}-{c['length']}")
def test_golden_bits(case, threads):
    x = values(case["length"], case["dtype"])
    _core.fwht(x, threads)
    assert digest(x) == case["sha256"]


def test_golden_rotation():
    rotation = Rotation(length=1000, seed=bytes(range(32)))
    assert digest(rotation.apply(values(1000, "float64"))) == GOLDEN["rotation"]
