"""The same task in `simulate` and on Flower, without privacy and with it."""

import numpy as np
import pytest

flwr = pytest.importorskip("flwr.app")

import veil
from veil.errors import BudgetExceeded, PolicyRefused
from veil.fixed_point import FixedPoint
from veil.fl import CentralDP, DistributedDP, LogisticRegression, Scaffold, Site, simulate
from veil.integrations.flower import task_app
from veil.integrations.flower.privacy import check_session, norm_before_rounding
from veil.random import SecureGenerator

from .memory import Node, arrays_of, params_of, site_ledger

CODEC = FixedPoint(clip=8.0, bits=28, max_summands=8, rounding="nearest")
TASK = LogisticRegression(features=4, learning_rate=0.5, epochs=2, batch_size=None)
START = TASK.init(SecureGenerator())


def data_of(number, rows=40):
    rng = np.random.default_rng(number)
    x = rng.normal(size=(rows, 4))
    y = (x @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=rows) > 0).astype(np.int8)
    return Site(id=f"site{number}", x=x, y=y, x_test=x, y_test=y, patients=None)


SITES = [data_of(i, 30 + 5 * i) for i in range(4)]
DP = CentralDP(
    noise_multiplier=2.0,
    max_grad_norm=1.0,
    sampling_probability=0.5,
    population=150,
    rounds=3,
    unit="record",
)


def ledger_for(epsilon=20.0, mode="planned"):
    return veil.dp.Ledger(
        epsilon=epsilon, delta=1e-5, unit="record", relation="add-or-remove-one", mode=mode
    )


@pytest.fixture
def hospitals(cohort, tmp_path):
    """Four sites whose app is a task; under distributed privacy each has a ledger."""

    def make(sites=SITES, **settings):
        c = cohort()
        dp = settings.get("privacy")
        is_distributed = isinstance(dp, DistributedDP)
        if is_distributed:
            settings.setdefault("answer_after", None)
        for i, site in enumerate(sites):
            app = task_app(TASK, lambda _, site=site: site, policy=c.policy(), **settings)
            config = {"identity": str(c.identities[i].path)}
            if is_distributed:
                config["ledger"] = site_ledger(tmp_path / f"{i}.ledger", dp)
            c.grid.nodes[1000 + i] = Node(1000 + i, app, config)
        return c

    return make


def run(c, rounds=3, **settings):
    strategy = c.strategy(codec=CODEC, dropout=0, min_survivors=None, **settings)
    return strategy, c.start(strategy, rounds=rounds, params=START, timeout=2)


def test_model_is_that_of_simulate_within_the_granularity(hospitals):
    bounds = {"accuracy": 1.0, "brier": 1.0}
    c = hospitals(metrics=bounds)
    strategy, result = run(c, weight_max=64, metrics=bounds)
    alone = simulate(TASK, SITES, veil.fl.FedAvg(), rounds=3, seed=1)
    params = params_of(result.arrays)
    assert max(np.abs(params[n] - a).max() for n, a in alone.params.items()) < 1e-5
    # What a site scores in round 3 is the model of round 2.
    scores = [alone.rounds[1].metrics[s.id]["accuracy"] for s in SITES]
    expected = np.average(scores, weights=[s.n_train for s in SITES])
    assert strategy.history.rounds[2].metrics["all"]["accuracy"] == pytest.approx(
        expected, abs=1e-4
    )


def test_private_run_charges_its_ledger_and_says_what_holds(hospitals):
    c = hospitals(privacy=DP)
    ledger = ledger_for()
    strategy, result = run(c, weight_max=None, privacy=DP, task=TASK, ledger=ledger)
    assert ledger.spent().releases == 3
    assert strategy.history.privacy.mechanism == "central DP-FedSGD"
    assert not strategy.history.simulated
    moved = max(np.abs(a).max() for a in params_of(result.arrays).values())
    # Three noisy gradient steps: the noise alone has sigma 0.5 * 2 / 75 = 0.013 per step.
    assert 1e-4 < moved < 1.0


def test_sites_clip_to_what_rounding_leaves_of_the_norm():
    norm = norm_before_rounding(DP, CODEC, 5)
    assert CODEC.l2_sensitivity(norm, 5, "record") <= DP.max_grad_norm
    assert norm > 0.999
    coarse = FixedPoint(clip=8.0, bits=4, max_summands=8, rounding="nearest")
    with pytest.raises(PolicyRefused, match="rounding may move a sum"):
        norm_before_rounding(DP, coarse, 5)


def test_rounded_sums_of_neighbours_stay_within_the_norm():
    """At the full norm they do not: that is what the smaller one is for."""
    coarse = FixedPoint(clip=8.0, bits=13, max_summands=8, rounding="nearest")
    size, g = 400, coarse.granularity
    base = np.full(size, 0.499 * g)  # a hair below the point where rounding goes up
    direction = np.full(size, 1.0 / np.sqrt(size))

    def apart(norm):
        rounded = [np.rint(x / g) * g for x in (base, base + norm * direction)]
        return np.linalg.norm(rounded[1] - rounded[0])

    assert apart(DP.max_grad_norm) > DP.max_grad_norm
    assert apart(norm_before_rounding(DP, coarse, size)) <= DP.max_grad_norm


@pytest.mark.parametrize("mode", ["planned", "adaptive"])
def test_resumed_private_run_goes_on_in_the_same_ledger(hospitals, tmp_path, mode):
    c = hospitals(privacy=DP)
    settings = {
        "codec": CODEC, "weight_max": None, "privacy": DP, "task": TASK, "dropout": 0,
        "checkpoint": tmp_path / "run.npz",
    }  # fmt: skip
    file = tmp_path / "ledger.jsonl"
    first = veil.dp.Ledger(
        epsilon=20.0, delta=1e-5, unit="record", relation="add-or-remove-one", mode=mode, path=file
    )

    def dies(number, arrays):
        if number == 2:
            raise KeyboardInterrupt
        return None

    with pytest.raises(KeyboardInterrupt):
        c.strategy(ledger=first, **settings).start(
            c.grid, arrays_of(START), 3, timeout=2, evaluate_fn=dies
        )
    again = veil.dp.Ledger.open(file)
    strategy = c.strategy(ledger=again, **settings)
    c.start(strategy, rounds=3, params=START, timeout=2)
    assert [r.number for r in strategy.history.rounds] == [1, 2, 3]
    assert again.spent().releases == 3
    assert again.undrawn(DP.charge(strategy.history.layout, label="central DP-FedSGD")) == 0


def test_failed_round_stays_charged(hospitals):
    c = hospitals(privacy=DP)
    c.grid.faults = {3: {1000: "silent"}}
    ledger = ledger_for(mode="adaptive")
    strategy, _ = run(c, rounds=2, weight_max=None, privacy=DP, task=TASK, ledger=ledger)
    assert [r.number for r in strategy.history.rounds] == [2]
    assert ledger.spent().releases >= 2


def test_ledger_that_refuses_stops_before_any_site_is_asked(hospitals):
    c = hospitals(privacy=DP)
    with pytest.raises(BudgetExceeded):
        run(c, weight_max=None, privacy=DP, task=TASK, ledger=ledger_for(epsilon=0.1))
    assert not any("arrays" in m.content for m in c.grid.down)  # keys were exchanged, no model sent


def test_private_run_without_a_ledger_or_a_task_that_fits_is_refused(hospitals):
    c = hospitals(privacy=DP)
    with pytest.raises(TypeError, match="ledger"):
        run(c, weight_max=None, privacy=DP, task=TASK)
    with pytest.raises(TypeError, match="per-record gradients"):
        run(c, weight_max=None, privacy=DP, ledger=ledger_for())
    with pytest.raises(ValueError, match="accounts for 3 rounds"):
        run(c, 4, weight_max=None, privacy=DP, task=TASK, ledger=ledger_for())


def test_site_whose_patients_do_not_fit_the_unit_takes_no_part(hospitals, caplog):
    first = SITES[0]
    twice = Site(
        id="twice",
        x=first.x,
        y=first.y,
        x_test=first.x,
        y_test=first.y,
        patients=np.zeros(first.n_train, np.int64),
    )
    c = hospitals([*SITES[:3], twice], privacy=DP)
    strategy = c.strategy(
        codec=CODEC, dropout=1, weight_max=None, privacy=DP, task=TASK, ledger=ledger_for()
    )
    c.start(strategy, params=START)
    assert strategy.history.rounds[0].survivors == ("site0", "site1", "site2")
    assert "unit='record' would not protect" in caplog.text
    told = strategy.refused["node 1003"]  # at the invitation, before its advert named it
    assert told.endswith("its own log says why")
    assert "unit" not in told


def test_strategy_with_state_at_the_sites_is_refused(cohort):
    with pytest.raises(ValueError, match="keeps state at the sites"):
        task_app(TASK, lambda _: SITES[0], policy=None, strategy=Scaffold())


def test_task_app_answers_nothing_but_training(hospitals):
    node = hospitals().grid.nodes[1000]
    for kind in ("evaluate", "query"):
        reply = node.app(flwr.Message(flwr.RecordDict(), 1000, kind), node.context)
        assert reply.has_error()


# --- distributed differential privacy -----------------------------------------------------------

RECORD = {
    "noise_multiplier": 2.0,
    "max_norm": 1.0,
    "unit": "record",
    "rounds": 3,
    "size": 5,
    "sites": 4,
    "min_survivors": 3,
    "max_corrupt": 1,
    "sampling_probability": 0.5,
    "population": 150,
}
OF_SITES = RECORD | {"unit": "site", "sampling_probability": None, "population": None}


def distributed(c, dp, rounds=3, **settings):
    ledger = veil.dp.Ledger(
        epsilon=1e3, delta=1e-3, unit=dp.unit, relation=dp.relation, mode="planned"
    )
    agreed = {
        "codec": dp.shares.codec,
        "dropout": dp.sites - dp.min_survivors,
        "corrupt": dp.max_corrupt,
        "min_survivors": dp.min_survivors,
        "weight_max": None,
    }
    strategy = c.strategy(privacy=dp, task=TASK, ledger=ledger, **(agreed | settings))
    return strategy, c.start(strategy, rounds=rounds, params=START, timeout=2), ledger


@pytest.mark.parametrize("settings", [RECORD, OF_SITES], ids=["record", "site"])
def test_sum_has_the_noise_of_every_survivor_and_the_round_is_charged(hospitals, settings):
    dp = DistributedDP(**settings)
    c = hospitals(privacy=dp)
    strategy, result, ledger = distributed(c, dp)
    assert ledger.spent().releases == 3
    assert [len(r.survivors) for r in strategy.history.rounds] == [4, 4, 4]
    assert strategy.history.privacy.mechanism.startswith("distributed DP")
    assert all(np.isfinite(a).all() for a in params_of(result.arrays).values())


def test_noise_of_a_round_is_that_of_the_mechanism_times_the_survivors(hospitals):
    """Nothing is sampled (q is tiny), so the model's steps are noise alone.

    4000 values with the variance of four shares. The bounds are the chi-square distribution's at
    alpha = 1e-6; three shares, the noise of a round in which one site left its own out, lie
    outside.
    """
    low, high = 0.894, 1.114
    assert not low < 3 / 4 < high
    size, rounds = 4000, 2
    task = LogisticRegression(features=size - 1, learning_rate=1.0, epochs=1, batch_size=None)
    wide = []
    for i in range(4):
        x = np.full((20, size - 1), 1e-9)
        y = np.arange(20) % 2
        wide.append(Site(id=f"s{i}", x=x, y=y, x_test=x, y_test=y, patients=None))
    dp = DistributedDP(**(RECORD | {"size": size, "sampling_probability": 1e-7, "rounds": rounds}))
    c = hospitals(wide, privacy=dp)
    for i, site in enumerate(wide):
        app = task_app(
            task, lambda _, site=site: site, policy=c.policy(max_corrupt=1), privacy=dp,
            answer_after=None,
        )  # fmt: skip
        c.grid.nodes[1000 + i].app = app
    ledger = veil.dp.Ledger(
        epsilon=1e6, delta=1e-3, unit="record", relation=dp.relation, mode="planned"
    )
    strategy = c.strategy(
        codec=dp.shares.codec, dropout=1, corrupt=1, min_survivors=3, weight_max=None,
        privacy=dp, task=task, ledger=ledger,
    )  # fmt: skip
    start = task.init(SecureGenerator())
    moved = params_of(c.start(strategy, rounds=rounds, params=start, timeout=3).arrays)
    values = np.concatenate([moved["bias"], moved["weights"]])
    per_sum = values * dp.sampling_probability * dp.population / np.sqrt(rounds)
    expected = dp.share.sigma * dp.shares.granularity * np.sqrt(4)
    assert low < (per_sum**2).mean() / expected**2 < high


def test_any_app_s_change_is_protected_for_the_whole_site(cohort, tmp_path):
    from veil.integrations.flower import secagg_mod

    from .memory import toy_app

    dp = DistributedDP(**(OF_SITES | {"size": 15, "max_corrupt": 0}))
    c = cohort()
    for i in range(4):
        own = site_ledger(tmp_path / f"{i}.ledger", dp)
        mod = secagg_mod(c.policy(), privacy=dp, ledger=own, answer_after=None)
        c.grid.nodes[1000 + i].app = toy_app(i, [mod])
    ledger = veil.dp.Ledger(
        epsilon=1e3, delta=1e-3, unit="site", relation=dp.relation, mode="planned"
    )
    strategy = c.strategy(
        codec=dp.shares.codec, dropout=1, corrupt=0, min_survivors=3, weight_max=None, privacy=dp,
        ledger=ledger,
    )  # fmt: skip
    c.start(strategy, rounds=2)
    assert [len(r.survivors) for r in strategy.history.rounds] == [4, 4]
    assert ledger.spent().releases == 2


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"codec": CODEC}, "codec"),
        ({"min_survivors": 4, "dropout": 0}, "min_survivors"),
        ({"corrupt": 0}, "corrupt"),
    ],
)
def test_session_that_is_not_the_mechanism_s_is_refused_at_the_server(hospitals, change, name):
    dp = DistributedDP(**RECORD)
    with pytest.raises((PolicyRefused, ValueError), match=name):
        distributed(hospitals(privacy=dp), dp, **change)


@pytest.mark.parametrize("name", ["min_survivors", "noise", "corrupt"])
def test_site_refuses_a_session_with_less_protection_than_its_mechanism(name):
    """What a server gains that proposes it: fewer shares of noise than were calibrated for."""
    from dataclasses import replace

    from veil.secagg import Config

    dp = DistributedDP(**(RECORD | {"min_survivors": 4, "sites": 6}))
    good = Config.for_cohort(
        6, dropout=2, corrupt=1, adversary="honest-but-curious", min_survivors=4,
        codec=dp.shares.codec, length=dp.length, noise=dp.share,
    )  # fmt: skip
    check_session(dp, good)
    worse = {
        "min_survivors": 3,
        "noise": replace(dp.share, sigma=dp.share.sigma / 2),
        "corrupt": 0,
    }
    with pytest.raises(PolicyRefused, match=name):
        check_session(dp, replace(good, **{name: worse[name]}))


def test_site_without_a_mechanism_refuses_a_session_with_noise():
    from veil.secagg import Config

    dp = DistributedDP(**RECORD)
    config = Config.for_cohort(
        4, dropout=1, corrupt=1, adversary="honest-but-curious", min_survivors=3,
        codec=dp.shares.codec, length=dp.length, noise=dp.share,
    )  # fmt: skip
    with pytest.raises(PolicyRefused, match="noise"):
        check_session(None, config)
