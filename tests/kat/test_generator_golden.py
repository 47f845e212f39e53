"""Golden bits of SecureGenerator: a change is breaking and belongs in the changelog."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

VECTORS = json.loads((Path(__file__).parent / "vectors" / "generator.json").read_text())
SEED = bytes.fromhex(VECTORS["seed"])
N = VECTORS["count"]

DRAWS = {
    "normal_float32": lambda rng, **kw: rng.normal(N, dtype=np.float32, scale=1.5, **kw),
    "normal_float64": lambda rng, **kw: rng.normal(N, dtype=np.float64, scale=1.5, **kw),
    "laplace_float32": lambda rng, **kw: rng.laplace(N, dtype=np.float32, scale=1.5, **kw),
    "laplace_float64": lambda rng, **kw: rng.laplace(N, dtype=np.float64, scale=1.5, **kw),
    "uniform_float32": lambda rng, **kw: rng.uniform(N, dtype=np.float32, **kw),
    "uniform_float64": lambda rng, **kw: rng.uniform(N, dtype=np.float64, **kw),
    "integers": lambda rng, **kw: rng.integers(1_000_003, N, **kw),
    "bernoulli": lambda rng, **kw: rng.bernoulli(0.125, N, **kw),
    "permutation": lambda rng, **kw: rng.permutation(N),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", sorted(VECTORS["sha256"]))
def test_golden_bits(name, threads):
    sample = DRAWS[name](SecureGenerator.from_seed(SEED), threads=threads)
    assert hashlib.sha256(sample.tobytes()).hexdigest() == VECTORS["sha256"][name]
