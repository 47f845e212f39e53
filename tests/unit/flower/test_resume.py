"""A run that was stopped goes on from its last completed round."""

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

from flwr.serverapp.strategy import FedAdam, FedAvgM

from veil.errors import ProtocolError

from .memory import MODEL, arrays_of, params_of


class Stopped(Exception):
    """What a killed process does not even raise."""


def inner(kind):
    return kind(min_train_nodes=3, min_available_nodes=3)


@pytest.mark.parametrize("kind", [FedAvgM, FedAdam])
def test_resumed_run_has_the_bits_of_one_that_never_stopped(cohort, tmp_path, kind):
    bounds = {"train_loss": 2.0}
    c = cohort(n=3, mod={"metrics": bounds})
    settings = {"dropout": 0, "metrics": bounds}
    whole = c.strategy(inner(kind), **settings)
    expected = c.start(whole, rounds=4)

    file = tmp_path / "run.npz"

    def stops(number, arrays):
        if number == 2:
            raise Stopped
        return None

    with pytest.raises(Stopped):
        c.strategy(inner(kind), checkpoint=file, **settings).start(
            c.grid, arrays_of(MODEL), 4, evaluate_fn=stops, timeout=1
        )
    scored = []
    second = c.strategy(inner(kind), checkpoint=file, **settings)
    found = second.start(
        c.grid,
        arrays_of(MODEL),
        4,
        evaluate_fn=lambda number, arrays: scored.append(number),
        timeout=1,
    )
    assert scored == [2, 3, 4]
    assert [r.number for r in second.history.rounds] == [1, 2, 3, 4]
    after, before = params_of(found.arrays), params_of(expected.arrays)
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert dict(found.train_metrics_clientapp) == dict(expected.train_metrics_clientapp)


def test_finished_run_asks_nobody_and_gives_the_same_model(cohort, tmp_path):
    c = cohort(n=3)
    file = tmp_path / "run.npz"
    first = c.start(c.strategy(dropout=0, checkpoint=file), rounds=2)
    asked = c.grid.exchange
    again = c.start(c.strategy(dropout=0, checkpoint=file), rounds=2)
    assert c.grid.exchange == asked
    pairs = zip(first.arrays.values(), again.arrays.values(), strict=True)
    assert all(x.data == y.data for x, y in pairs)


def test_checkpoint_of_another_run_is_refused(cohort, tmp_path):
    c = cohort(n=3)
    file = tmp_path / "run.npz"
    c.start(c.strategy(dropout=0, checkpoint=file))
    with pytest.raises(ProtocolError, match="of another model, strategy or setting"):
        c.start(c.strategy(dropout=0, checkpoint=file, weight_max=None), rounds=2)
    with pytest.raises(ProtocolError, match="of another model"):
        c.start(
            c.strategy(dropout=0, checkpoint=file), rounds=2, params={"w": np.zeros(3, np.float32)}
        )
