"""A server that chooses a session's parameters to read one site, and sums over near sets of sites.

Real messages; the server side alone is altered. Each attack fails, and works without its check.
"""

import logging
from dataclasses import replace

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

from veil.errors import ProtocolError, VeilWarning
from veil.integrations.flower import secagg_mod
from veil.secagg import Policy

from .memory import CODEC, MODEL, params_of, toy_app

SIZE = 15
HEAVY = 3
EXAMPLES = [300, 400, 500, 1000, 350]  # patients of the sites
UPDATES = np.random.default_rng(5).choice([-1.0, 1.0], (5, SIZE)) * np.linspace(5e-3, 9e-3, SIZE)


def moved(site, params):
    """Training that moves every value by a few thousandths."""
    update = UPDATES[site].astype(np.float32)
    return {
        **params,
        "weight": params["weight"] + update[:12].reshape(3, 4),
        "bias": params["bias"] + update[12:],
    }


@pytest.fixture
def hospitals(cohort):
    """Five sites, each with its own number of patients, that pin a weight of at most 1000."""

    def make(**policy):
        c = cohort(n=5)
        pins = {"codec": CODEC, "length": SIZE, "weight_max": 1000, "roster": c.roster.keys}
        limits = {"min_cohort": 3, "min_survivors": 3, "max_corrupt": 1}
        for i, examples in enumerate(EXAMPLES):
            mods = [secagg_mod(Policy(**pins | limits | policy))]
            counts = {"num-examples": examples}
            c.grid.nodes[1000 + i].app = toy_app(i, mods, metrics=counts, drift=moved)
        return c

    return make


def change_of(result):
    after = params_of(result.arrays)
    return np.concatenate([(after[name] - MODEL[name]).ravel() for name in ("weight", "bias")])


# --- a weight that rounds all but the heaviest site away ----------------------------------------


def weight_attack(c):
    """Ask for the greatest weights that the codec allows, and look at the signs of the sum."""
    most = (1 << (CODEC.bits - 1)) - 1
    return np.sign(change_of(c.start(c.strategy(corrupt=1, weight_max=most))))


def test_weights_that_show_the_heaviest_site_are_refused(hospitals, caplog):
    c = hospitals()
    with caplog.at_level(logging.WARNING, "veil.flower"), pytest.raises(ProtocolError):
        weight_attack(c)
    assert "weight_max: this client's policy expects 1000, got 2097151" in caplog.text


def test_weights_that_show_the_heaviest_site_work_without_the_pin(hospitals, monkeypatch):
    """All signs of one site's update, though five are in the sum and all of them signed."""
    monkeypatch.setattr(Policy, "check_config", lambda *_: None)
    c = hospitals()
    np.testing.assert_array_equal(weight_attack(c), np.sign(UPDATES[HEAVY]))
    assert len(c.made.history.rounds[0].survivors) == 5


def test_a_site_that_pins_no_weight_sends_no_count(hospitals, caplog):
    c = hospitals(weight_max=None)
    with caplog.at_level(logging.WARNING, "veil.flower"), pytest.raises(ProtocolError):
        c.start(c.strategy(corrupt=1, weight_max=1000))
    assert "weight_max: this client's policy expects None, got 1000" in caplog.text
    c.start(c.strategy(corrupt=1, weight_max=None))


@pytest.mark.parametrize(
    ("pin", "named"),
    [
        ({"length": SIZE + 1}, "length"),
        ({"codec": replace(CODEC, bits=21)}, "codec"),
        ({"dropout_fraction": 0.4}, "dropout"),
        ({"max_corrupt": 2}, "corrupt"),
        ({"graphs": ("k-regular",)}, "graph"),
    ],
)
def test_what_the_site_pins_is_named_when_it_refuses(hospitals, caplog, pin, named):
    c = hospitals(**pin)
    with caplog.at_level(logging.WARNING, "veil.flower"), pytest.raises(ProtocolError):
        c.start(c.strategy(corrupt=1))
    assert f"{named}: this client's policy expects" in caplog.text


def test_a_policy_that_contradicts_the_roster_stops_the_site_and_not_the_round(cohort, caplog):
    c = cohort(n=4)
    c.grid.nodes[1003].app = toy_app(3, [secagg_mod(c.policy(min_cohort=5))])
    strategy = c.strategy()
    c.start(strategy)
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert "min_cohort: expected at most 4, the members of the roster, got 5" in caplog.text
    for reply in c.grid.nodes[1003].replies:
        assert reply.error.reason == "veil: the site could not answer; its own log says why"


# --- sums over sets that differ by one site -----------------------------------------------------


def difference_attack(c):
    """Two rounds on one model; in the second the server leaves a site's masked vector out."""
    sums = []
    for run in range(2):
        if run == 1:
            c.grid.faults = {c.grid.exchange + 3: {1000 + HEAVY: "silent"}}
        change = change_of(c.start(c.strategy(corrupt=1, weight_max=None)))
        sums.append(len(c.made.history.rounds[0].survivors) * change)
    return sums[0] - sums[1]


def test_two_runs_that_differ_by_a_site_give_its_update(hospitals):
    """By another run's name: what a site remembers for one run alone would not help."""
    leaked = difference_attack(hospitals(weight_max=None))
    np.testing.assert_allclose(leaked, UPDATES[HEAVY], atol=1e-5)


def test_sites_that_compare_sets_refuse_the_second_run(hospitals, caplog):
    c = hospitals(weight_max=None, min_set_difference=3)
    with caplog.at_level(logging.WARNING, "veil.flower"), pytest.raises(ProtocolError):
        difference_attack(c)
    assert "min_set_difference: this client's policy expects" in caplog.text


def test_a_strategy_warns_of_sets_that_differ_by_too_few(cohort, malicious):
    c = cohort(malicious=malicious)
    c.grid.faults = {c.grid.exchange + 3: {1003: "silent"}}
    with pytest.warns(VeilWarning, match=r"differ by (site3|node 1003) alone, expected at least 2"):
        c.start(c.strategy(), rounds=3)


def test_a_strategy_does_not_warn_of_equal_sets(cohort):
    c = cohort()
    c.start(c.strategy(), rounds=3)  # a warning is an error here


def test_a_strategy_that_was_resumed_knows_the_sets_of_before(cohort, tmp_path):
    c = cohort()
    file = tmp_path / "run.npz"
    c.grid.faults = {3: {1003: "silent"}}
    c.start(c.strategy(checkpoint=file))
    with pytest.warns(VeilWarning, match="sums were opened over sets"):
        c.start(c.strategy(checkpoint=file), rounds=2)
