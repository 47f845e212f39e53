"""An answer that touched data leaves at a fixed time after its request came, or says it is late."""

import logging

import pytest

flwr = pytest.importorskip("flwr.app")

from veil.fl import LogisticRegression
from veil.integrations.flower import deadline, secagg_mod, task_app

from .memory import Node, drifted, site_ledger, toy_app
from .test_site_ledger import CENTRAL, DP, NODES, central_round, data, run

TASK = LogisticRegression(features=4, learning_rate=0.5, epochs=1, batch_size=None)


class Clock:
    """Monotonic time that a test moves; sleeping moves it too."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(deadline, "time", made)
    return made


@pytest.fixture
def timed(cohort, tmp_path, clock):
    """Four sites whose training takes as long as a test says; and when each answer left."""

    def make(seconds, answer_after):
        c, left = cohort(), []

        def works(site, params):
            clock.now += seconds[site]
            return drifted(site, params)

        for i, node in enumerate(NODES):
            mod = secagg_mod(c.policy(), privacy=DP, answer_after=answer_after)
            config = {
                "identity": str(c.identities[i].path),
                "ledger": site_ledger(tmp_path / f"{i}.ledger", DP),
            }
            c.grid.nodes[node] = Node(node, toy_app(i, [mod], drift=works), config)

        def watched(node, message):
            came = clock.now
            reply = node(message)
            left.append((node.context.node_id, clock.now - came))
            return reply

        c.grid.faults = {e: dict.fromkeys(NODES, watched) for e in range(1, 20)}
        return c, left

    return make


def test_answers_leave_at_the_deadline_whatever_the_data_took(timed):
    c, left = timed([0.1, 2.0, 7.0, 29.9], 30.0)
    assert run(c) == 2
    took = [seconds for _, seconds in left if seconds]
    assert took == [pytest.approx(30.0)] * 8  # four sites, two rounds; all other answers at once
    assert len(left) > 8


def test_without_a_deadline_the_time_tells(timed):
    c, left = timed([0.1, 2.0, 7.0, 29.9], None)
    assert run(c) == 2
    assert {seconds for _, seconds in left if seconds > 1} != {30.0}
    assert len({round(seconds, 3) for _, seconds in left}) == 5


def test_an_answer_that_is_late_goes_at_once_and_the_site_s_log_says_so(timed, caplog):
    c, left = timed([0.1, 0.1, 0.1, 42.0], 30.0)
    with caplog.at_level(logging.WARNING, "veil.flower"):
        assert run(c) == 2
    assert max(seconds for _, seconds in left) == pytest.approx(42.0)
    assert "12.0 s late for answer_after=30" in caplog.text


def test_a_refusal_on_public_grounds_does_not_wait(timed, clock):
    c, _ = timed([0, 0, 0, 0], 30.0)
    assert run(c) == 2
    before = len(clock.slept)
    assert run(c) == 0  # spent: refused at the invitation, before data
    assert len(clock.slept) == before


def test_loading_at_the_invitation_waits_too(cohort, clock):
    def load(i):
        clock.now += 1.0 + i
        return data(f"s{i}")

    left = []

    def watched(node, message):
        came = clock.now
        reply = node(message)
        left.append(clock.now - came)
        return reply

    central_round(cohort, [{}] * 4, load, watched=watched, answer_after=10.0)
    # The invitation and the round load the data; the three messages between and after do not.
    assert left == [pytest.approx(10.0)] * 4 + [0] * 4 + [pytest.approx(10.0)] * 4 + [0] * 8


# --- it must be said -----------------------------------------------------------------------------


def test_under_distributed_dp_the_time_of_an_answer_must_be_said():
    for make in (
        lambda **more: secagg_mod(None, privacy=DP, **more),
        lambda **more: task_app(TASK, None, policy=None, privacy=DP, **more),
    ):
        with pytest.raises(TypeError, match="answer_after: expected seconds, or None"):
            make()
        make(answer_after=None)
        make(answer_after=30)


def test_elsewhere_it_may_be_left_out():
    secagg_mod(None)
    task_app(TASK, None, policy=None, privacy=CENTRAL)


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan"), True])
def test_the_time_is_a_finite_number_above_zero(seconds):
    with pytest.raises(ValueError, match="answer_after: expected a finite number above 0"):
        secagg_mod(None, privacy=DP, answer_after=seconds)
