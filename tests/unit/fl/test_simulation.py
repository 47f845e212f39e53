"""A whole run: same bits for any order and threads, resumable, stoppable, refusing bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest

import veil
from veil.errors import DataError, ProtocolError
from veil.fl import (
    Checkpoint,
    FedAdam,
    FedAvg,
    FedProx,
    History,
    LogisticRegression,
    PlainSum,
    Scaffold,
    Site,
    simulate,
)

TASK = LogisticRegression(features=3, learning_rate=0.5, epochs=2, batch_size=8)


def bits(run):
    return {name: array.tobytes() for name, array in run.params.items()}


def test_learns(sites):
    run = simulate(TASK, sites, FedAvg(), rounds=10, seed=1)
    assert len(run.rounds) == 10
    assert set(run.metrics) == {"a", "b", "c"}
    assert all(scores["auroc"] > 0.8 for scores in run.metrics.values())


def test_same_seed_same_bits_whatever_the_order_of_sites(sites):
    first = simulate(TASK, sites, FedAvg(), rounds=3, seed=1)
    again = simulate(TASK, sites[::-1], FedAvg(), rounds=3, seed=1)
    assert bits(first) == bits(again)
    assert bits(first) != bits(simulate(TASK, sites, FedAvg(), rounds=3, seed=2))


@pytest.mark.parametrize("threads", [1, 2])
def test_same_seed_same_bits_whatever_the_threads(sites, threads):
    here = simulate(TASK, sites, Scaffold(), rounds=2, seed=3)
    veil.set_num_threads(threads)
    try:
        there = simulate(
            TASK, sites, Scaffold(), rounds=2, seed=3, aggregator=PlainSum(threads=threads)
        )
    finally:
        veil.set_num_threads(0)
    assert bits(here) == bits(there)


def test_without_a_seed_runs_differ(sites):
    runs = [simulate(TASK, sites, FedAvg(), rounds=1, seed=None) for _ in range(2)]
    assert bits(runs[0]) != bits(runs[1])
    assert not runs[0].seeded


def test_one_more_site_does_not_change_the_streams_of_others(sites):
    """Zero weight would do the same; here the third site is simply absent."""
    updates = {}

    class Spy(PlainSum):
        def add(self, site, vector, weight):
            updates.setdefault(site, []).append(vector.tobytes())
            super().add(site, vector, weight)

    simulate(TASK, sites, FedAvg(), rounds=1, seed=1, aggregator=Spy())
    simulate(TASK, sites[:2], FedAvg(), rounds=1, seed=1, aggregator=Spy())
    assert updates["a"][0] == updates["a"][1]
    assert updates["b"][0] == updates["b"][1]


def test_bytes_are_those_of_vectors_and_weights(sites):
    run = simulate(TASK, sites, FedAvg(), rounds=2, seed=0)
    assert run.bytes_down == 2 * 3 * 4 * 8
    assert run.bytes_up == 2 * 3 * (4 * 8 + 8)
    scaffold = simulate(TASK, sites, Scaffold(), rounds=1, seed=0)
    assert scaffold.bytes_down == 3 * 2 * 4 * 8
    assert scaffold.bytes_up == 3 * 2 * 4 * 8


def test_scores_come_every_so_many_rounds_and_at_the_end(sites):
    run = simulate(TASK, sites, FedAvg(), rounds=5, seed=0, evaluate_every=2)
    assert [bool(r.metrics) for r in run.rounds] == [False, True, False, True, True]


def test_history_returns_from_json(sites):
    lonely = Site(
        id="one-class",
        x=sites[0].x,
        y=sites[0].y,
        x_test=sites[0].x_test,
        y_test=np.ones(40),
        patients=None,
    )
    run = simulate(TASK, [*sites, lonely], FedAvg(), rounds=2, seed=0)
    assert np.isnan(run.metrics["one-class"]["auroc"])
    text = json.dumps(run.to_dict(), allow_nan=False)
    back = History.from_dict(json.loads(text))
    assert bits(back) == bits(run)
    assert json.dumps(back.to_dict(), allow_nan=False) == text
    assert back.layout == run.layout


@pytest.mark.parametrize("strategy", [FedAdam(), Scaffold()], ids=["FedAdam", "Scaffold"])
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(sites, strategy, tmp_path):
    whole = simulate(TASK, sites, strategy, rounds=6, seed=4)
    path = tmp_path / "run.npz"
    simulate(TASK, sites, strategy, rounds=3, seed=4, on_round=lambda state: state.save(path))
    resumed = simulate(TASK, sites, strategy, rounds=6, seed=4, resume=Checkpoint.load(path))
    assert bits(resumed) == bits(whole)
    assert [r.metrics for r in resumed.rounds] == [r.metrics for r in whole.rounds]
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_resuming_a_finished_run_trains_no_more(sites):
    states = []
    whole = simulate(TASK, sites, FedAvg(), rounds=2, seed=4, on_round=states.append)
    again = simulate(TASK, sites, FedAvg(), rounds=2, seed=4, resume=states[-1])
    assert again.to_dict() == whole.to_dict()
    with pytest.raises(ValueError, match="at least the 2 already done"):
        simulate(TASK, sites, FedAvg(), rounds=1, seed=4, resume=states[-1])


def test_a_checkpoint_of_another_run_is_refused(sites):
    states = []
    simulate(TASK, sites, FedAvg(), rounds=1, seed=4, on_round=states.append)
    changed = [
        {"strategy": FedProx(mu=0.1)},
        {"seed": 5},
        {"sites": sites[:2]},
        {"task": LogisticRegression(features=3, learning_rate=0.4, epochs=2, batch_size=8)},
    ]
    for changes in changed:
        settings = {"task": TASK, "sites": sites, "strategy": FedAvg(), "seed": 4} | changes
        with pytest.raises(ProtocolError, match="resume: expected a checkpoint of this run"):
            simulate(**settings, rounds=2, resume=states[0])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"run\.npz: expected a checkpoint"):
        Checkpoint.load(path)


def test_a_failed_save_leaves_the_older_file(sites, tmp_path, monkeypatch):
    states = []
    simulate(TASK, sites, FedAvg(), rounds=2, seed=4, on_round=states.append)
    path = tmp_path / "run.npz"
    states[0].save(path)
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        states[1].save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


def test_an_interrupt_within_a_round_loses_that_round_alone(sites):
    class Interrupted(LogisticRegression):
        __slots__ = ()

        def local_update(self, params, site, *, correction, rng):
            if site.id == "b" and len(states) == 2:
                raise KeyboardInterrupt
            return LogisticRegression.local_update(
                self, params, site, correction=correction, rng=rng
            )

    states = []
    task = Interrupted(features=3, learning_rate=0.5, epochs=2, batch_size=8)
    aggregator = PlainSum()
    with pytest.raises(KeyboardInterrupt):
        simulate(
            task, sites, Scaffold(), rounds=4, seed=4, on_round=states.append, aggregator=aggregator
        )
    assert [len(state.rounds) for state in states] == [1, 2]
    last = states[-1]
    states.append(None)
    resumed = simulate(
        task, sites, Scaffold(), rounds=4, seed=4, resume=last, aggregator=aggregator
    )
    assert bits(resumed) == bits(simulate(TASK, sites, Scaffold(), rounds=4, seed=4))


def test_integer_buffers_stay_at_the_server(sites):
    class Counting(LogisticRegression):
        __slots__ = ()

        def init(self, rng):
            return LogisticRegression.init(self, rng) | {"counter": np.array(7)}

        def local_update(self, params, site, *, correction, rng):
            update = LogisticRegression.local_update(
                self, params, site, correction=correction, rng=rng
            )
            update.params["counter"] = np.asarray(params["counter"] + 1)
            return update

    task = Counting(features=3, learning_rate=0.5, epochs=1, batch_size=None)
    run = simulate(task, sites, FedAvg(), rounds=2, seed=0)
    assert run.params["counter"] == 7
    assert run.layout.size == 4


def test_an_update_that_is_not_finite_names_its_site(sites):
    class Diverges(LogisticRegression):
        __slots__ = ()

        def local_update(self, params, site, *, correction, rng):
            update = LogisticRegression.local_update(
                self, params, site, correction=correction, rng=rng
            )
            if site.id == "b":
                update.params["weights"][1] = np.nan
            return update

    task = Diverges(features=3, learning_rate=0.5, epochs=1, batch_size=None)
    with pytest.raises(DataError, match="site 'b': update: has NaN"):
        simulate(task, sites, FedAvg(), rounds=1, seed=0)


def test_a_strategy_that_reads_single_updates_needs_an_aggregator_that_sees_them(sites):
    class Median(FedAvg):
        __slots__ = ()
        needs_individual_updates = True

        def step(self, vector, state, total):
            return vector + np.median(list(total.updates.values()), axis=0), state

    class Blind(PlainSum):
        sees_individual_updates = False

    with pytest.raises(ProtocolError, match="Median reads each site's update, which Blind keeps"):
        simulate(TASK, sites, Median(), rounds=1, seed=0, aggregator=Blind())
    run = simulate(TASK, sites, Median(), rounds=1, seed=0)
    assert bits(run) != bits(simulate(TASK, sites, FedAvg(), rounds=1, seed=0))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rounds": 0}, "rounds"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"sites": []}, "sites"),
    ],
)
def test_settings_out_of_range_are_refused(sites, changes, name):
    settings = {"sites": sites, "rounds": 1, "seed": 0} | changes
    with pytest.raises(ValueError, match=name):
        simulate(TASK, strategy=FedAvg(), **settings)


def test_importing_fl_loads_neither_torch_nor_accounting():
    code = "import sys, veil.fl; print({'torch', 'scipy', 'dp_accounting'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
