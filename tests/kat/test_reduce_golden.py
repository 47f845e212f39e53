"""Golden bits of the reductions: the same on every instruction set and thread count."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from veil.fl import Accumulator, weighted_mean

GOLDEN = json.loads((Path(__file__).parent / "vectors" / "reduce.json").read_text())
WEIGHTS = [3.0, 0.1, 250.0, 0.0, 1e-3, 77.7, 12.0]
LENGTH = 20_011

pytestmark = pytest.mark.kernel


def updates(dtype):
    """Seven vectors of 20,011 values from integer arithmetic alone, of very different scales."""
    row, column = np.arange(len(WEIGHTS))[:, None], np.arange(LENGTH)
    x = ((row * 7919 + column * 104_729) % 65_521 / 65_521 - 0.5) * 2.0 ** (row % 5 * 3 - 8)
    if dtype == "bfloat16":
        return list((x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16))
    return list(x.astype(dtype))


def accumulated(dtype, bound, threads):
    mean = Accumulator(LENGTH, bound=bound)
    for update, weight in zip(updates(dtype), WEIGHTS, strict=True):
        mean.add(update, weight, threads=threads)
    return mean.mean(threads=threads)


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["dtype"])
def test_golden_bits(case, threads):
    dtype = case["dtype"]
    assert digest(weighted_mean(updates(dtype), WEIGHTS, threads=threads)) == case["weighted_mean"]
    assert digest(accumulated(dtype, 1e4, threads)) == case["accumulator_bounded"]
    assert digest(accumulated(dtype, None, threads)) == case["accumulator_levels"]
