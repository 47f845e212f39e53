"""What Veil ships satisfies the protocols, and its records travel."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

from veil.fl import (
    MLP,
    Aggregator,
    CentralDP,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    ImageCNN,
    Layout,
    LogisticRegression,
    PlainSum,
    Privacy,
    PrivateTask,
    Scaffold,
    SiteRound,
    Strategy,
    Sum,
    Task,
)

STRATEGIES = [FedAvg(), FedProx(mu=0.1), FedAdam(), FedYogi(), FedAdagrad(), Scaffold()]
LOCAL = {"learning_rate": 0.1, "epochs": 1, "batch_size": 8}
TASKS = [
    LogisticRegression(**LOCAL, features=3),
    MLP(**LOCAL, features=3, hidden=(4,)),
    ImageCNN(**LOCAL, channels=1, size=(8, 8)),
]
CENTRAL = CentralDP(
    noise_multiplier=1.0,
    max_grad_norm=1.0,
    sampling_probability=0.5,
    population=125,
    rounds=2,
    unit="record",
)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
def test_strategies_satisfy_the_protocol(strategy):
    assert isinstance(strategy, Strategy)
    layout = Layout.of({"w": np.zeros((2, 3), np.float32)})
    size = strategy.upload_layout(layout).size
    assert size == (12 if isinstance(strategy, Scaffold) else 6)


@pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)
def test_tasks_satisfy_the_protocols(task):
    assert isinstance(task, Task)
    assert isinstance(task, PrivateTask)


def test_aggregator_and_privacy_satisfy_their_protocols():
    assert isinstance(PlainSum(), Aggregator)
    assert isinstance(CENTRAL, Privacy)


@pytest.mark.parametrize("record", [*STRATEGIES, *TASKS, CENTRAL], ids=lambda r: type(r).__name__)
def test_settings_are_frozen_and_picklable(record):
    assert pickle.loads(pickle.dumps(record)) == record
    with pytest.raises(AttributeError):
        setattr(record, dataclasses.fields(record)[0].name, 2.0)


def test_central_dp_returns_from_json():
    assert CentralDP.from_dict(json.loads(json.dumps(CENTRAL.to_dict()))) == CENTRAL


@pytest.mark.parametrize("updates", [None, {"a": np.array([1.5, -0.0], np.float32)}])
def test_a_sum_returns_from_json(updates):
    total = Sum(np.array([0.1, -0.0]), 3.0, ("a",), updates)
    back = Sum.from_dict(json.loads(json.dumps(total.to_dict())))
    assert back.total.tobytes() == total.total.tobytes()
    assert (back.weight, back.survivors) == (3.0, ("a",))
    assert (back.updates is None) == (updates is None)
    if updates is not None:
        assert back.updates["a"].tobytes() == updates["a"].tobytes()
        assert back.updates["a"].dtype == np.float32


def test_reprs_show_no_model_and_no_data(site, stream):
    layout = Layout.of(TASKS[0].init(None))
    secret = np.full(4, 0.123456789)
    work = SiteRound(
        TASKS[0], site, layout, secret, {}, {"variate": secret}, {"variate": secret}, stream()
    )
    assert "0.1234" not in repr(work)
    assert "0.1234" not in repr(Sum(secret, 1.0, ("a",)))
