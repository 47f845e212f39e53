"""Small sites with a learnable target, and streams of their own."""

import hashlib

import numpy as np
import pytest

from veil.fl import Site
from veil.random import SecureGenerator


def make_site(name, n=40, *, features=3, seed=0, patients=None):
    rng = np.random.default_rng([seed, *name.encode()])
    x = rng.normal(size=(2 * n, features))
    y = (x[:, 0] + 0.5 * rng.normal(size=2 * n) > 0).astype(int)
    return Site(id=name, x=x[:n], y=y[:n], x_test=x[n:], y_test=y[n:], patients=patients)


@pytest.fixture
def sites():
    return [make_site("a", 40), make_site("b", 25), make_site("c", 60)]


@pytest.fixture
def site():
    return make_site("a", 40)


@pytest.fixture
def stream():
    """Reproducible generators by name."""
    return lambda name="": SecureGenerator.from_seed(hashlib.sha256(name.encode()).digest())
