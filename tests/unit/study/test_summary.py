"""Intervals over seeds, and what mean and worst mean."""

import math

import numpy as np
import pytest
from scipy import stats

from veil.study.summary import interval, summarise


def test_interval_is_students_t():
    values = [0.91, 0.93, 0.90, 0.95, 0.94]
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert mean == pytest.approx(np.mean(values))
    assert (low, high) == pytest.approx(expected)


def test_interval_is_cut_to_the_range_of_the_metrics():
    mean, low, high = interval([1.0, 1.0, 0.8])
    assert high == 1.0
    assert low < mean
    assert interval([0.3] * 7) == pytest.approx((0.3, 0.3, 0.3))


def test_interval_always_holds_its_mean():
    rng = np.random.default_rng(0)
    for _ in range(200):
        mean, low, high = interval([float(rng.choice([0.0, 0.1, 1.0]))] * 3)
        assert low <= mean <= high


def test_what_cannot_be_computed_is_none():
    assert interval([]) == (None, None, None)
    assert interval([0.5]) == (0.5, None, None)


def runs():
    def site(auroc, brier):
        return {"n_test": 9, "auroc": auroc, "accuracy": 0.5, "brier": brier}

    return [
        {"method": "m", "seed": 1, "sites": {"a": site(0.9, 0.1), "b": site(0.7, 0.3)}},
        {"method": "m", "seed": 2, "sites": {"a": site(0.8, 0.2), "b": site(None, 0.4)}},
    ]


def test_scopes_are_mean_worst_and_each_site():
    rows = {(r["metric"], r["scope"]): r for r in summarise(runs(), ["m"], ["a", "b"])}
    assert len(rows) == 3 * 4
    assert rows["auroc", "mean"]["mean"] == pytest.approx((0.8 + 0.8) / 2)
    assert rows["auroc", "worst"]["mean"] == pytest.approx((0.7 + 0.8) / 2)
    assert rows["brier", "worst"]["mean"] == pytest.approx((0.3 + 0.4) / 2)
    assert (
        rows["auroc", "site:b"] | {"mean": 0.7, "low": None, "high": None, "n": 1}
        == rows["auroc", "site:b"]
    )
    assert rows["auroc", "site:a"]["n"] == 2
    assert not any(isinstance(r["mean"], float) and math.isnan(r["mean"]) for r in rows.values())


def test_site_without_any_value_has_an_empty_entry():
    for run in (rows := runs()):
        run["sites"]["b"]["auroc"] = None
    row = next(r for r in summarise(rows, ["m"], ["a", "b"]) if r["scope"] == "site:b")
    assert (row["mean"], row["low"], row["high"], row["n"]) == (None, None, None, 0)
