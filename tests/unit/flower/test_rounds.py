"""SecureStrategy and secagg_mod over a grid in memory: sums, exchanges, dropouts, late replies."""

import logging

import numpy as np
import pytest

pytest.importorskip("flwr.app")

from veil.errors import ProtocolError

from .memory import CODEC, MODEL, drifted, params_of

LAST_EXCHANGE = {True: 5, False: 4}  # of a first round: malicious, curious
# Half a granularity a site, magnified by weight_max over the mean weight; then float32 rounds.
TOLERANCE = CODEC.granularity * 1000 / 100 + 2**-23


def mean_of(sites, weights, params=MODEL):
    """What FedAvg gives for these sites, in float64."""
    moved = [drifted(site, params) for site in sites]
    return {
        name: sum(w * m[name].astype(np.float64) for w, m in zip(weights, moved, strict=True))
        / sum(weights)
        for name in params
        if params[name].dtype.kind == "f"
    }


def distance(arrays, expected):
    params = params_of(arrays)
    return max(np.abs(params[name] - mean).max() for name, mean in expected.items())


def survivors(strategy):
    return [round.survivors for round in strategy.history.rounds]


def test_mean_is_that_of_fedavg_within_the_granularity(cohort, malicious):
    c = cohort(malicious=malicious)
    result = c.start(c.strategy())
    assert distance(result.arrays, mean_of(range(4), [100, 101, 102, 103])) <= TOLERANCE


def test_mean_without_weights_counts_every_site_once(cohort, malicious):
    c = cohort(malicious=malicious)
    strategy = c.strategy(weight_max=None)
    result = c.start(strategy)
    # The drifts lie on the lattice: only float32 rounds.
    assert distance(result.arrays, mean_of(range(4), [1] * 4)) <= 2**-23


def test_server_keeps_its_own_integer_buffers_and_every_dtype(cohort):
    from flwr.serverapp.strategy import FedAdam, FedAvgM

    c = cohort(n=3)
    for inner in (FedAdam(min_train_nodes=3), FedAvgM(min_train_nodes=3, server_momentum=0.9)):
        strategy = c.strategy(inner, dropout=0)
        after = params_of(c.start(strategy, rounds=2).arrays)
        assert {n: a.dtype for n, a in after.items()} == {n: a.dtype for n, a in MODEL.items()}
        assert after["seen"] == MODEL["seen"]
        assert not np.array_equal(after["weight"], MODEL["weight"])


def test_declared_metrics_are_averaged_by_weight(cohort):
    bounds = {"train_loss": 2.0}
    c = cohort(mod={"metrics": bounds})
    result = c.start(c.strategy(metrics=bounds))
    weights = np.arange(100, 104)
    expected = (weights * (0.5 + np.arange(4) / 8)).sum() / weights.sum()
    found = result.train_metrics_clientapp[1]["train_loss"]
    assert found == pytest.approx(expected, abs=TOLERANCE * 2.0 / CODEC.clip)


def test_rounds_share_exchanges(cohort, malicious):
    c = cohort(malicious=malicious)
    strategy = c.strategy()
    c.start(strategy, rounds=3)
    per_round = 3 if malicious else 2
    assert strategy.exchanges == c.grid.exchange == 2 + 3 * per_round
    names = ("site0", "site1", "site2", "site3")
    assert survivors(strategy) == [names if malicious else ("node 1000", "node 1001", "node 1002",
                                                            "node 1003")] * 3  # fmt: skip
    assert [r.number for r in strategy.history.rounds] == [1, 2, 3]


def test_payload_takes_ring_bits_per_value(cohort):
    big = {"w": np.zeros(50_000, np.float32)}
    c = cohort(n=3)
    c.start(c.strategy(dropout=0), params=big)
    masked = max(
        (array for reply in c.grid.up for array in reply.content["veil.parts"].values()),
        key=lambda array: len(array.data),
    )
    assert CODEC.ring_bits == 26
    assert 50_000 * 26 / 8 <= len(masked.data) <= 50_000 * 26 / 8 + 512


@pytest.mark.filterwarnings("ignore:sums were opened over sets")
@pytest.mark.parametrize(
    ("malicious", "exchange"),
    [(m, e) for m, last in LAST_EXCHANGE.items() for e in range(1, last + 1)],
)
def test_site_may_vanish_at_any_exchange_and_comes_back(cohort, malicious, exchange):
    c = cohort(malicious=malicious)
    c.grid.faults = {e: {1003: "silent"} for e in range(exchange, LAST_EXCHANGE[malicious] + 1)}
    strategy = c.strategy()
    result = c.start(strategy, rounds=3)
    counted = survivors(strategy)
    # Masked before it vanished: its update is in the sum, whatever it does later.
    assert len(counted[0]) == (4 if exchange > 3 else 3)
    assert len(counted[2]) == 4
    assert len(counted) == 3
    assert result.arrays


def test_too_many_dropouts_leave_the_model_and_the_next_round_recovers(cohort, malicious, caplog):
    c = cohort(malicious=malicious)
    c.grid.faults = {3: {1002: "silent", 1003: "silent"}}
    strategy = c.strategy()
    with caplog.at_level(logging.WARNING, "veil.flower"):
        c.start(strategy, rounds=2)
    assert [r.number for r in strategy.history.rounds] == [2]
    assert "round 1: the sum was not opened, the model stays" in caplog.text


def test_run_without_a_completed_round_is_an_error(cohort):
    c = cohort()
    c.grid.faults = {e: {n: "silent" for n in (1001, 1002, 1003)} for e in range(1, 9)}
    strategy = c.strategy()
    with pytest.raises(ProtocolError, match="none of 2 rounds"):
        c.start(strategy, rounds=2)
    with pytest.raises(ProtocolError, match="expected a completed round"):
        _ = strategy.history


@pytest.mark.filterwarnings("ignore:sums were opened over sets")
def test_late_reply_does_not_count_in_the_exchange_that_follows(cohort, malicious):
    c = cohort(malicious=malicious)
    late = []

    def hold(node, message):
        late.append(node(message))

    def bring(node, message):
        own = node(message)
        if not late:
            return own
        held = late.pop()
        held.metadata.__dict__["_reply_to_message_id"] = message.metadata.message_id
        return held

    c.grid.faults = {4: {1003: hold}, **{e: {1003: bring} for e in range(5, 16)}}
    strategy = c.strategy()
    c.start(strategy, rounds=4)
    assert late == []
    # Its vector of round 1 came in time; it then shared nothing for round 2, and its advert for
    # round 3 was not sent because the late reply took its place.
    assert [len(s) for s in survivors(strategy)] == [4, 3, 3, 4]


def test_fraction_of_the_nodes_is_sampled_anew_each_round(cohort):
    from flwr.serverapp.strategy import FedAvg

    c = cohort(n=6, malicious=False)
    inner = FedAvg(fraction_train=0.5, min_train_nodes=3, min_available_nodes=6)
    strategy = c.strategy(inner, dropout=0)
    c.start(strategy, rounds=3)
    assert [len(s) for s in survivors(strategy)] == [3, 3, 3]


@pytest.mark.filterwarnings("ignore:sums were opened over sets")
@pytest.mark.parametrize("first", [1, 3, 4, 5])
def test_stragglers_are_waited_for_no_longer_than_patience_in_every_exchange(cohort, first):
    c = cohort()
    c.grid.faults = {e: {1003: "silent"} for e in range(first, 9)}
    strategy = c.strategy(patience=0.1)
    c.start(strategy, rounds=2, timeout=600)  # without patience: ten minutes
    assert [len(s) for s in survivors(strategy)] == [4 if first > 3 else 3, 3]


def test_node_that_went_offline_is_not_waited_for(cohort, monkeypatch):
    from veil.integrations.flower import exchange

    monkeypatch.setattr(exchange, "_ABSENCE_CHECK", 0.1)
    c = cohort()

    def leaves(node, message):
        c.grid.nodes.pop(1003, None)

    c.grid.faults = {3: {1003: leaves}}
    strategy = c.strategy()
    c.start(strategy, timeout=600)
    assert [len(s) for s in survivors(strategy)] == [3]
