"""What one unit moves, enumerated, against what was charged for it.

For every query, relation, number of rows per patient, sign of the bounds and dtype: neighbouring
tables are made by giving one patient every choice of 0 to m extreme rows, the integers that get
noise are caught before they do, and their largest move is compared with the noise really used.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from veil import dp
from veil.dp import histograms, moments
from veil.dp._query import Grid
from veil.random import SecureGenerator

ADD, REPLACE, ZERO = RELATIONS = dp.RELATIONS
QUERIES = ["count", "count within", "sum", "mean", "variance", "bins", "edges", "categories"]
SIGNS = [(30.0, 45.0), (-45.0, -30.0), (-3.0, 5.0), (0.0, 7.0), (-7.0, 0.0), (100.0, 200.0)]
BUDGETS = [(0.5, 0.0), (0.5, 1e-7)]


@dataclass
class Caught:
    """Integers that a release was about to add noise to, and the scales of that noise."""

    integers: list
    scales: tuple
    gaussian: bool


class Silent:
    """In the place of a noise distribution: adds nothing."""

    tv_bound = 0.0

    def sample(self, n, rng):
        return np.zeros(n, np.int64)


def silent_noises(catch, joint):
    def noises(budget, sensitivities, shares):
        drawn, event = joint(budget, sensitivities, shares)
        catch["noises"] = drawn
        still = [type(noise)(Silent(), noise.scale, noise.gaussian) for noise in drawn]
        return still, event

    return noises


@pytest.fixture
def catch(monkeypatch):
    """What the last query was about to release."""
    caught = {}
    for user in (moments, histograms):
        monkeypatch.setattr(user, "joint_noise", silent_noises(caught, user.joint_noise))
    sums = Grid.sums

    def watched(self, values, low, high, powers):
        caught["sums"] = sums(self, values, low, high, powers)
        caught["rows"] = values.size
        return caught["sums"]

    monkeypatch.setattr(Grid, "sums", watched)
    return caught


def ledger(relation):
    return dp.Ledger(epsilon=1e3, delta=1e-3, unit="patient", relation=relation, mode="adaptive")


def release(name, catch, values, ids, most, bounds, budget, relation):
    catch.clear()
    common = {
        "epsilon": budget[0],
        "delta": budget[1],
        "patient_ids": ids,
        "max_rows_per_patient": most,
        "ledger": ledger(relation),
        "rng": SecureGenerator.from_seed(bytes(32)),
    }
    low, high = bounds
    if name == "bins":
        got = dp.histogram(values, bounds=bounds, bins=3, **common)
    elif name == "edges":
        edges = [low, (low + high) / 2, high]
        got = dp.histogram(values, bounds=None, bins=edges, **common)
    elif name == "categories":
        named = np.array(["low", "mid", "high", "out"])[np.searchsorted([low, high], values)]
        got = dp.histogram(named, bounds=None, categories=["low", "mid"], **common)
    elif name == "count":
        got = dp.count(values, bounds=None, **common)
    elif name == "count within":
        got = dp.count(values, bounds=bounds, **common)
    else:
        got = getattr(moments, name)(values, bounds=bounds, **common)
    noises = catch["noises"]
    if name in ("bins", "edges", "categories"):
        integers = list(got.value)
        scales = (noises[0].scale,) * len(integers)
    elif "sums" in catch:
        integers = [*catch["sums"], catch["rows"]][: len(noises)]
        scales = tuple(noise.scale for noise in noises)
    else:
        integers, scales = [got.value], (noises[0].scale,)
    return Caught([int(i) for i in integers], scales, noises[0].gaussian), got.event


def loss(one, other, event):
    """The privacy loss of telling two tables apart, over what the event allows."""
    moves = [abs(a - b) / s for a, b, s in zip(one.integers, other.integers, one.scales,
                                               strict=True)]  # fmt: skip
    return math.hypot(*moves) / event.ratio if one.gaussian else sum(moves) / event.ratio


def contributions(bounds, most, *, fixed):
    """All that one unit may bring: extreme values, inside and out, in every number of rows."""
    low, high = bounds
    extreme = (low, high, low - 1.0, high + 50.0, (low + high) / 2)
    counts = [1] if fixed else range(most + 1)
    return [rows for n in counts for rows in itertools.combinations_with_replacement(extreme, n)]


def worst_loss(name, catch, *, relation, most, bounds, budget, dtype):
    """The largest loss over all pairs of neighbours, which is at most 1 if the charge is right."""
    fixed = most is None and relation == REPLACE
    others = np.array([bounds[0], bounds[1], bounds[1]])
    released = {}
    for rows in contributions(bounds, most or 1, fixed=fixed):
        values = np.concatenate([others, np.array(rows)]).astype(dtype)
        ids = None if most is None else np.array([1, 2, 3] + [9] * len(rows))
        released[rows] = release(name, catch, values, ids, most, bounds, budget, relation)
    pairs = itertools.combinations(released, 2) if relation == REPLACE else (
        ((), rows) for rows in released
    )  # fmt: skip
    return max(
        loss(released[a][0], released[b][0], released[a][1]) for a, b in pairs if a != b
    )  # fmt: skip


@pytest.mark.parametrize("bounds", SIGNS, ids=str)
@pytest.mark.parametrize("most", [None, 1, 2, 3])
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("name", QUERIES)
def test_no_unit_moves_a_query_by_more_than_is_charged(name, relation, most, bounds, catch):
    for budget in BUDGETS:
        for dtype in ("f8", "f4", "i8"):
            if dtype == "i8" and any(b != int(b) for b in (*bounds, sum(bounds) / 2)):
                continue
            got = worst_loss(
                name, catch, relation=relation, most=most, bounds=bounds, budget=budget, dtype=dtype
            )
            assert got <= 1.0 + 1e-9


@pytest.mark.parametrize("most", [None, 1, 2])
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("name", ["count", "sum", "bins"])
def test_the_charge_is_no_more_than_the_largest_move_needs(name, relation, most, catch):
    if name == "count" and most is None and relation == REPLACE:
        return  # the number of rows is the same in all neighbours: nothing moves
    got = worst_loss(name, catch, relation=relation, most=most, bounds=(30.0, 45.0),
                     budget=(0.5, 0.0), dtype="f8")  # fmt: skip
    assert got >= 0.999


def test_a_sum_that_forgets_the_number_of_rows_is_caught(catch, monkeypatch):
    """As `sum` was charged before: m (high - low) under replace-one, for 0 to m rows."""

    def forgetful(low, high, most, relation, fixed_rows):
        return most * moments.distance(relation, one=max(abs(low), abs(high)), two=high - low)

    monkeypatch.setattr(moments, "_reach", forgetful)
    got = worst_loss("sum", catch, relation=REPLACE, most=2, bounds=(30.0, 45.0),
                     budget=(1.0, 0.0), dtype="f8")  # fmt: skip
    assert got == pytest.approx(3.0, rel=1e-3)  # 2 x 45 - 0 rows, for 2 x 15 charged
