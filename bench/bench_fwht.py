"""The Walsh-Hadamard transform beside the same butterflies in NumPy and torch, and SciPy's DCT."""

import numpy as np
import pytest
import scipy.fft

import peers
from veil import _core

N = 1 << 20


def butterflies(x, stack):
    """One stage after the other on whole arrays: what NumPy and torch users write."""
    h = 1
    while h < N:
        pairs = x.reshape(-1, 2, h)
        x = stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1).reshape(N)
        h *= 2
    return x


def in_torch(x):
    def make():
        torch = peers.torch()
        tensor = torch.from_numpy(x)
        return lambda: butterflies(tensor, torch.stack).numpy()

    return peers.lazily(make)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("who", ["veil", "torch", "numpy", "scipy dct"])
def bench_fwht(who, dtype, contest):
    start = (np.arange(N) % 17 - 8).astype(dtype)
    work = start.copy()
    want = butterflies(start.astype(np.float64), np.stack)

    def ours():
        np.copyto(work, start)
        _core.fwht(work, 1)
        return work

    def dct():  # another transform of n log n: for scale, its result is not compared
        scipy.fft.dct(start, workers=1)
        return want

    contest(
        f"Walsh-Hadamard, 1 M {np.dtype(dtype).name}",
        who,
        {
            "veil": ours,
            "torch": in_torch(start),
            "numpy": lambda: butterflies(start, np.stack),
            "scipy dct": dct,
        },
        amount=N,
        unit="values",
        check=peers.equals(want),
    )
