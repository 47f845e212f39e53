"""Golden values of veil.noise: a change is breaking and belongs in the changelog."""

import hashlib
import json
from pathlib import Path

import pytest

from veil.noise import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam
from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

VECTORS = json.loads((Path(__file__).parent / "vectors" / "noise.json").read_text())
DISTRIBUTIONS = (DiscreteGaussian, RoundedGaussian, DiscreteLaplace, Skellam)
KINDS = {kind.__name__: kind for kind in DISTRIBUTIONS}


def sample(vector, threads):
    rng = SecureGenerator.from_seed(bytes.fromhex(VECTORS["seed"]))
    noise = KINDS[vector["distribution"]](vector["parameter"])
    return noise.sample(VECTORS["count"], rng, threads=threads)


def name(vector):
    return f"{vector['distribution']}-{vector['parameter']}"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("vector", VECTORS["samples"], ids=name)
def test_golden_values(vector, threads):
    values = sample(vector, threads)
    assert values[:6].tolist() == vector["first"]
    assert hashlib.sha256(values.astype("<i8").tobytes()).hexdigest() == vector["sha256"]
