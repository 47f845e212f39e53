"""What `simulate` binds a round's masks to: all that reaches the training of its sites."""

import dataclasses
import importlib

import numpy as np
import pytest

from veil import FixedPoint
from veil.fl import (
    CentralDP,
    FedAvg,
    FedProx,
    Layout,
    LogisticRegression,
    PlainSum,
    Scaffold,
    SecureSum,
    simulate,
)
from veil.fl.binding import round_context

differing = importlib.import_module("veil.secagg.context").differing_fields

START = {"bias": np.zeros(1), "weights": np.zeros(3)}
LAYOUT = Layout.of(START)
TASK = LogisticRegression(features=3, learning_rate=0.1, epochs=1, batch_size=None)
DP = CentralDP(noise_multiplier=1.0, max_grad_norm=1.0, sampling_probability=0.5, population=10,
               rounds=3, unit="patient", max_rows_per_patient=4)  # fmt: skip


def bound(**changes):
    parts = {
        "params": START,
        "number": 1,
        "shared": {},
        "task": TASK,
        "strategy": FedProx(mu=0.1),
        "privacy": None,
        "upload": LAYOUT,
    }
    return round_context(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"params": {**START, "bias": np.ones(1)}}, "model"),
        ({"number": 2}, "round"),
        ({"shared": {"variate": np.zeros(4)}}, "shared"),
        ({"task": dataclasses.replace(TASK, epochs=2)}, "settings"),
        ({"strategy": FedProx(mu=0.2)}, "settings"),
        ({"strategy": FedAvg()}, "settings"),
        ({"privacy": DP}, "settings"),
        ({"upload": Layout(LAYOUT.prefixed("delta/"))}, "terms"),
    ],
)
def test_each_part_counts(changes, named):
    assert differing(bound(), bound(**changes)) == named


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(DP) if f.name != "unit"])
def test_each_setting_of_a_mechanism_counts(field):
    value = getattr(DP, field)
    other = dataclasses.replace(DP, **{field: value / 2 if isinstance(value, float) else value + 1})
    assert bound(privacy=DP) != bound(privacy=other)


@dataclasses.dataclass(frozen=True)
class Odd(FedAvg):
    """A strategy with settings of every kind."""

    setting: object = None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.float64(0.1), np.float64(0.2)),
        (np.arange(3), np.arange(4)),
        ([1, {"a": 2}], [1, {"a": 3}]),
        (Odd(setting=1), Odd(setting=2)),
        (Odd(setting=Odd(setting=(1,))), Odd(setting=Odd(setting=(2,)))),
    ],
)
def test_settings_within_settings_count(one, other):
    assert bound(strategy=Odd(setting=one)) != bound(strategy=Odd(setting=other))


def nested(depth):
    return Odd(setting=nested(depth - 1)) if depth else Odd(setting=0)


@pytest.mark.parametrize(
    "setting",
    [object(), len, {1: 2}, {1, 2}, np.array([None]), Odd, nested(100), 1j, np.longdouble(1)],
    ids=lambda setting: type(setting).__name__,
)
def test_a_setting_without_one_encoding_counts_by_its_class(setting):
    assert bound(strategy=Odd(setting=setting)) == bound(strategy=Odd(setting=setting))
    assert bound(strategy=Odd(setting=setting)) != bound(strategy=Odd(setting=None))


class Watched:
    """An aggregator that keeps the contexts that it was given."""

    def __init__(self, inner):
        self.inner, self.contexts = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def open(self, layout, site_ids, *, context, **more):
        self.contexts.append(context)
        self.inner.open(layout, site_ids, context=context, **more)


def contexts_of(sites, inner, strategy, task=TASK):
    watched = Watched(inner)
    simulate(task, sites, strategy, rounds=3, seed=1, aggregator=watched)
    return watched.contexts


def secure(weight_max):
    return SecureSum(
        codec=FixedPoint(clip=8.0, bits=24, max_summands=3, rounding="nearest"),
        dropout=0,
        corrupt=1,
        adversary="malicious",
        min_survivors=None,
        weight_max=weight_max,
    )


def test_a_run_binds_each_round_to_its_number_model_and_variate(sites):
    first, second, third = contexts_of(sites, secure(None), Scaffold())
    assert differing(first, second) == "model, round, shared"
    assert differing(second, third) == "model, round, shared"


def test_a_run_binds_its_strategys_settings(sites):
    one, other = (
        contexts_of(sites, secure(100), FedProx(mu=mu, learning_rate=1e-9))[0] for mu in (0.0, 0.5)
    )
    assert differing(one, other) == "settings"


def test_no_model_is_hashed_for_a_sum_in_clear(sites, monkeypatch):
    def never(**_):
        raise AssertionError("nobody uses it")

    monkeypatch.setattr("veil.fl.simulation.round_context", never)
    assert contexts_of(sites, PlainSum(), FedAvg()) == [b"", b"", b""]
