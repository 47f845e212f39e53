"""A private run's ledger: the whole plan is reserved first, each round charged before it begins."""

import dataclasses
import json

import numpy as np
import pytest

from veil.dp import Ledger, planned
from veil.dp import count as count_query
from veil.errors import BudgetExceeded, DataError
from veil.fl import CentralDP, FedAvg, LogisticRegression, PlainSum, simulate
from veil.fl.layout import Layout

TASK = LogisticRegression(features=3, learning_rate=0.5, epochs=1, batch_size=None)
LAYOUT = Layout.of(TASK.init(None))
NAME = "central DP-FedSGD"
PLAN = CentralDP(
    noise_multiplier=4.0,
    max_grad_norm=1.0,
    sampling_probability=0.5,
    population=125,
    rounds=6,
    unit="record",
)


def book(**changes):
    settings = {
        "epsilon": 8.0,
        "delta": 1e-6,
        "unit": "record",
        "relation": "add-or-remove-one",
        "mode": "adaptive",
    }
    return Ledger(**(settings | changes))


def play(sites, ledger, *, rounds=6, **more):
    return simulate(
        TASK, sites, FedAvg(), rounds=rounds, seed=0, privacy=PLAN, ledger=ledger, **more
    )


def runs(ledger):
    return {label: count for label, _, count in ledger.spent().by_label}


class Deaf(PlainSum):
    """Fails the test when a site uploads."""

    def add(self, site, vector, weight):
        pytest.fail("a site took part in a run that was refused")


class Stop(Exception):
    pass


def stop_after(number, states):
    def on_round(state):
        states.append(state)
        if len(state.rounds) == number:
            raise Stop

    return on_round


def test_the_whole_plan_is_charged_though_fewer_rounds_are_played(sites):
    ledger = book()
    play(sites, ledger, rounds=2)
    assert runs(ledger) == {NAME: 6}
    spent = ledger.spent()
    assert spent.releases == 2
    assert spent.slack == pytest.approx(6 * PLAN.charge(LAYOUT, label=NAME).slack)
    assert ledger.epsilon_if_fixed() == PLAN.epsilon(1e-6, size=4)


def test_the_plan_is_charged_before_any_site_takes_part(sites):
    ledger = book()

    class Looks(PlainSum):
        def open(self, *args, **more):
            assert runs(ledger) == {NAME: 6}
            assert ledger.spent().releases == 1 + len(seen)
            super().open(*args, **more)

    seen = []
    play(sites, ledger, aggregator=Looks(), on_round=seen.append)
    assert len(seen) == 6


@pytest.mark.parametrize("mode", ["adaptive", "planned"])
def test_a_plan_that_does_not_fit_draws_nothing(sites, mode):
    ledger = book(epsilon=0.5, mode=mode)
    with pytest.raises(BudgetExceeded, match="nothing was re"):
        play(sites, ledger, aggregator=Deaf())
    assert ledger.spent().by_label == ()


def test_a_private_run_without_a_ledger_is_refused(sites):
    with pytest.raises(TypeError, match=r"ledger: expected a veil\.dp\.Ledger, got NoneType"):
        simulate(TASK, sites, FedAvg(), rounds=1, seed=0, privacy=PLAN, aggregator=Deaf())


def test_a_ledger_without_privacy_is_refused(sites):
    with pytest.raises(ValueError, match="ledger: expected None for a run without privacy"):
        simulate(TASK, sites, FedAvg(), rounds=1, seed=0, ledger=book(), aggregator=Deaf())


@pytest.mark.parametrize(
    ("changes", "name"), [({"unit": "patient"}, "unit"), ({"relation": "replace-one"}, "relation")]
)
def test_a_ledger_of_another_unit_or_relation_is_refused(sites, changes, name):
    ledger = book(**changes)
    with pytest.raises(DataError, match=f"ledger: expected the {name}"):
        play(sites, ledger, aggregator=Deaf())
    assert ledger.spent().by_label == ()


def test_a_resumed_run_is_not_charged_twice(sites):
    ledger, states = book(), []
    with pytest.raises(Stop):
        play(sites, ledger, on_round=stop_after(2, states))
    whole = play(sites, ledger, resume=states[-1])
    assert runs(ledger) == {NAME: 6}
    assert ledger.spent().releases == 6
    np.testing.assert_array_equal(whole.params["weights"], play(sites, book()).params["weights"])


def test_a_resumed_run_is_not_charged_twice_by_another_process(sites, tmp_path):
    path, states = tmp_path / "ledger.jsonl", []
    with pytest.raises(Stop):
        play(sites, book(path=path), on_round=stop_after(2, states))
    again = Ledger.open(path)
    play(sites, again, resume=states[-1])
    assert runs(again) == {NAME: 6}


def test_a_failed_round_stays_charged_and_its_repetition_costs(sites, monkeypatch):
    ledger, states = book(), []
    close = PlainSum.close

    def fails_once(self):
        if len(states) == 2:
            raise Stop
        return close(self)

    with monkeypatch.context() as broken:
        broken.setattr(PlainSum, "close", fails_once)
        with pytest.raises(Stop):
            play(sites, ledger, on_round=states.append)
    assert ledger.spent().releases == 3
    play(sites, ledger, resume=states[-1])
    assert ledger.spent().releases == 7
    assert runs(ledger) == {NAME: 7}


def test_a_failed_round_does_not_fit_into_a_fixed_plan(sites):
    ledger, states = book(mode="planned"), []

    class Broken(PlainSum):
        def close(self):
            raise Stop

    with pytest.raises(Stop):
        play(sites, ledger, aggregator=Broken(), on_round=states.append)
    with pytest.raises(BudgetExceeded, match="has its plan already"):
        play(sites, ledger)


def test_a_new_run_is_charged_anew(sites):
    ledger = book(epsilon=16.0)
    play(sites, ledger)
    play(sites, ledger)
    assert runs(ledger) == {NAME: 12}


def test_a_plan_that_the_caller_reserved_is_used(sites):
    ledger = book(mode="planned")
    first = planned(count_query, relation="add-or-remove-one", bounds=None, epsilon=0.5, delta=0.0)
    ledger.reserve([first, PLAN.charge(LAYOUT, label="model")])
    play(sites, ledger, label="model")
    assert ledger.undrawn(PLAN.charge(LAYOUT, label="model")) == 0
    assert ledger.undrawn(first) == 1
    with pytest.raises(BudgetExceeded):
        play(sites, ledger, label="another")


def test_an_undrawn_rest_can_be_given_back(sites):
    ledger = book()
    reservation = ledger.reserve(PLAN.charge(LAYOUT, label=NAME))
    play(sites, ledger, rounds=2)
    reservation.give_back()
    assert runs(ledger) == {NAME: 2}


def test_the_charge_grows_with_the_model():
    small = PLAN.charge(LAYOUT, label="a")
    wide = Layout.of({"w": np.zeros(4000)})
    assert small.runs == PLAN.rounds
    assert small.event == PLAN.event()
    assert PLAN.charge(wide, label="a").slack == pytest.approx(1000 * small.slack, rel=0.5)
    said = PLAN.statement(LAYOUT, seeded=False)
    assert said.slack == PLAN.rounds * small.slack
    assert json.dumps(said.event) == json.dumps(small.event.to_dict())


def test_slack_that_delta_cannot_hold_is_refused():
    loud = dataclasses.replace(PLAN, noise_multiplier=0.1, sampling_probability=1.0)
    with pytest.raises(ValueError, match="slack: expected"):
        loud.epsilon(1e-6, size=10**6)
