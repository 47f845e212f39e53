"""Reductions: `weighted_mean` of 20 x 2 M float32, and one addition to an `Accumulator`."""

import numpy as np
import pytest

import peers
import veil

UPDATES, LENGTH = 20, 2_000_000


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(0)
    stacked = rng.standard_normal((UPDATES, LENGTH), dtype=np.float32)
    weights = rng.integers(10, 1000, UPDATES).astype(np.float64)
    want = (weights / weights.sum()) @ stacked.astype(np.float64)
    return stacked, [row.copy() for row in stacked], weights, want


def plain_sum(stacked):
    """Read all of it once, on two threads: the bandwidth that no reduction can beat."""

    def make():
        tensor = peers.torch(threads=2).from_numpy(stacked)
        return lambda: float(tensor.sum())

    return peers.lazily(make)


def torch_matmul(stacked, shares):
    def make():
        torch = peers.torch(threads=2)
        matrix, row = torch.from_numpy(stacked), torch.from_numpy(shares)
        return lambda: (row @ matrix).numpy()

    return peers.lazily(make)


@pytest.mark.parametrize(
    "who", ["veil", "flower_records", "flower_aggregate", "numpy_stacked", "torch_stacked", "sum"]
)
def bench_weighted_mean(who, contest, cohort):
    stacked, updates, weights, want = cohort
    shares = (weights / weights.sum()).astype(np.float32)
    out = np.empty(LENGTH, np.float32)

    def flower_records():
        made = peers.flower_records(updates, list(weights))
        return lambda: peers.flower_aggregate_records(made)

    counts = [int(w) for w in weights]
    close = peers.equals(want, rtol=1e-3, atol=1e-5)

    def check(got):
        if not isinstance(got, float):  # the plain sum reduces to one number
            close(got)

    contest(
        "weighted_mean, 20 x 2 M float32, 2 threads",
        who,
        {
            "veil": lambda: veil.fl.weighted_mean(updates, weights, out=out, threads=2),
            "flower_records": peers.lazily(flower_records),
            "flower_aggregate": lambda: peers.flower_aggregate(updates, counts),
            "numpy_stacked": lambda: shares @ stacked,
            "torch_stacked": torch_matmul(stacked, shares),
            "sum": plain_sum(stacked),
        },
        amount=4 * UPDATES * LENGTH,
        unit="B",
        check=check,
        limit="sum",
        must={"flower_records": 4},
        aim={"sum": 0.85},
        threads=2,
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
@pytest.mark.parametrize("bound", [1e6, None], ids=["bound", "no_bound"])
def bench_accumulator_add(who, bound, contest, cohort):
    update = cohort[1][0]
    mean = veil.fl.Accumulator(LENGTH, bound=bound)
    total = np.zeros(LENGTH, np.float32)
    weight = np.float32(0.75)

    def ours():
        mean.add(update, float(weight), threads=1)
        return mean

    def numpy():
        nonlocal total
        total += weight * update
        return total

    def check(got):
        if got is mean:
            np.testing.assert_allclose(mean.mean(), update, rtol=1e-6, atol=1e-9)
        else:
            assert np.isfinite(got).all()

    contest(
        f"Accumulator.add, 2 M float32, {'two lattices' if bound is None else 'with a bound'}",
        who,
        {"veil": ours, "numpy": numpy},
        amount=LENGTH,
        unit="values",
        check=check,
        must={"numpy": 1 / 3 if bound is None else 1 / 2},
        aim={"numpy": 1 / 2 if bound is None else 1 / 1.3},
    )
