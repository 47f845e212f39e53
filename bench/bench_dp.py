"""The DP toolbox: releases beside OpenDP and NumPy, queries beside NumPy, the ledger's cost."""

import numpy as np
import pytest

import peers
from veil import dp
from veil.dp import _losses, calibration

N = 100_000
ROWS = 10_000_000
MECHANISM = dp.GaussianMechanism(l2_sensitivity=1.0, sigma=1.0)


def ledger(**settings):
    return dp.Ledger(
        **{
            "epsilon": 12.0,
            "delta": 1e-2,
            "unit": "patient",
            "relation": "add-or-remove-one",
            "mode": "adaptive",
            **settings,
        }
    )


def release(mechanism, n):
    """Charge, round, draw and add: everything that `release` does, on one thread."""
    x, out = np.zeros(n), np.empty(n)
    return lambda: mechanism.release(x, ledger=ledger(), out=out).value


@pytest.fixture(autouse=True)
def one_thread():
    import veil

    veil.set_num_threads(1)
    yield
    veil.set_num_threads(0)


@pytest.mark.parametrize("who", ["veil", "opendp"])
def bench_gaussian_release(who, contest):
    contest(
        "GaussianMechanism.release, 100 k float64",
        who,
        {"veil": release(MECHANISM, N), "opendp": peers.opendp_float_gaussian(N, 1.0)},
        amount=N,
        unit="values",
        check=peers.gaussian(1.0),
        must={"opendp": 3000},
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_gaussian_release_beside_insecure_noise(who, contest):
    generator, out = np.random.default_rng(0), np.empty(10 * N)
    contest(
        "GaussianMechanism.release, 1 M float64",
        who,
        {
            "veil": release(MECHANISM, 10 * N),
            "numpy": lambda: generator.standard_normal(10 * N, out=out),
        },
        amount=10 * N,
        unit="values",
        check=peers.gaussian(1.0),
        aim={"numpy": 1.5},
    )


def near(exact, tolerance):
    """A check that an answer is the exact one but for its noise."""

    def check(got):
        assert np.all(np.abs(np.asarray(got) - exact) < tolerance), (got, exact)

    return check


def ask(query, values, **more):
    return lambda: (
        query(
            values, **{"epsilon": 1.0, "delta": 0.0, **more}, patient_ids=None, ledger=ledger()
        ).value
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_histogram_of_categories(who, contest):
    codes = np.random.default_rng(0).integers(0, 50, ROWS)
    contest(
        "histogram of 50 categories, 10 M rows",
        who,
        {
            "veil": ask(dp.histogram, codes, bounds=None, categories=range(50)),
            "numpy": lambda: np.bincount(codes, minlength=50),
        },
        amount=ROWS,
        unit="rows",
        check=near(np.bincount(codes, minlength=50), 100),
        must={"numpy": 0.5},
    )


@pytest.mark.parametrize("who", ["veil", "bincount", "histogram"])
def bench_histogram_of_numbers(who, contest):
    values = np.random.default_rng(0).normal(60, 15, ROWS)
    codes = np.clip(values / 2.4, 0, 49).astype(np.int64)
    exact = np.histogram(values, bins=50, range=(0, 120))[0]
    contest(
        "histogram of 50 bins, 10 M float64",
        who,
        {
            "veil": ask(dp.histogram, values, bounds=(0, 120), bins=50),
            "bincount": lambda: np.bincount(codes, minlength=50),
            "histogram": lambda: np.histogram(values, bins=50, range=(0, 120))[0],
        },
        amount=ROWS,
        unit="rows",
        check=near(exact, 2000),  # bincount's codes hold the values outside, too
        must={"bincount": 0.5},
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_quantiles(who, contest):
    values = np.random.default_rng(0).normal(60, 15, ROWS)
    q = [0.25, 0.5, 0.75]
    contest(
        "three quantiles, 10 M float64 (must: below 1 s)",
        who,
        {
            "veil": ask(dp.quantiles, values, bounds=(0, 120), q=q),
            "numpy": lambda: np.quantile(values, q),
        },
        amount=ROWS,
        unit="rows",
        check=near(np.quantile(values, q), 0.01),
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_mean(who, contest):
    values = np.random.default_rng(0).normal(60, 15, ROWS)
    contest(
        "mean, 10 M float64",
        who,
        {"veil": ask(dp.mean, values, bounds=(0, 120)), "numpy": lambda: values.mean()},
        amount=ROWS,
        unit="rows",
        check=near(values.mean(), 0.01),
    )


EVENTS = {
    "Gaussian": dp.Event.gaussian(sigma=1e4, sensitivity=1.0),
    "Laplace": dp.Event.discrete_laplace(scale=1e6, sensitivity=10),
    "pure": dp.Event.pure(epsilon=1e-5),
    "subsampled": dp.Event.gaussian(sigma=1e3, sensitivity=1.0, sampling_probability=0.01),
}


@pytest.mark.parametrize("kind", EVENTS)
def bench_charge(kind, contest):
    book = ledger()

    def charge():
        book.charge(EVENTS[kind], label="bench")
        return book

    def check(got):
        assert got.spent().releases > 0

    contest(
        f"Ledger.charge in memory, {kind} (must: below 5 ms)",
        "veil",
        {"veil": charge},
        amount=1,
        unit="charges",
        check=check,
    )


def bench_charge_of_an_unseen_sampled_event(contest):
    book = ledger()
    count = iter(range(10**9))

    def charge():
        sigma = 1e3 + next(count)
        book.charge(
            dp.Event.gaussian(sigma=sigma, sensitivity=1.0, sampling_probability=0.01), label="x"
        )
        return book

    contest(
        "Ledger.charge in memory, a subsampled event not seen before (must: below 50 ms)",
        "veil",
        {"veil": charge},
        amount=1,
        unit="charges",
        check=lambda got: None,
    )


def bench_charge_on_disk(contest, tmp_path):
    book = ledger(path=tmp_path / "bench.ledger")

    def charge():
        book.charge(EVENTS["Gaussian"], label="bench")
        return book

    def check(got):
        assert dp.verify_ledger(got.path)["records"] > 1

    contest(
        "Ledger.charge with path=, synced",
        "veil",
        {"veil": charge},
        amount=1,
        unit="charges",
        check=check,
    )


def bench_calibration(contest):
    def calibrate():
        calibration._calibrated.cache_clear()
        _losses.forget()
        return dp.calibrate_noise_multiplier(
            target_epsilon=0.01, target_delta=1e-6, sampling_probability=0.01, steps=10_000
        )

    contest(
        "calibrate_noise_multiplier at epsilon = 0.01 (must: below 30 s)",
        "veil",
        {"veil": calibrate},
        amount=1,
        unit="calibrations",
        check=near(306.43, 0.01),
    )
