"""DistributedDP: what a site sends, what the server makes of it, and everything it refuses."""

import dataclasses
import json
import math

import numpy as np
import pytest

import veil
from veil.dp import Ledger
from veil.errors import DataError, ProtocolError, TooFewSurvivors
from veil.fl import (
    CentralDP,
    DistributedDP,
    FedAdam,
    FedAvg,
    FedProx,
    LogisticRegression,
    PlainSum,
    PrivacyStatement,
    SecureSum,
    SiteRound,
    Sum,
    simulate,
)
from veil.fl.layout import Layout
from veil.fl.privacy import central as central_mechanism
from veil.fl.privacy._noise import LatticeGaussian
from veil.secagg import NoiseShare

TASK = LogisticRegression(features=3, learning_rate=0.5, epochs=1, batch_size=None)
RECORD = {
    "noise_multiplier": 2.0,
    "max_norm": 1.0,
    "unit": "record",
    "rounds": 20,
    "size": 4,
    "sites": 3,
    "min_survivors": 3,
    "max_corrupt": 1,
    "sampling_probability": 1.0,
    "population": 125,
}
SITE = RECORD | {"unit": "site", "sampling_probability": None, "population": None}


def distributed(**changes):
    return DistributedDP(**(RECORD | changes))


def of_sites(**changes):
    return DistributedDP(**(SITE | changes))


def roomy(dp):
    return Ledger(epsilon=1e3, delta=1e-3, unit=dp.unit, relation=dp.relation, mode="planned")


def run(dp, sites, *, rounds=3, strategy=None, dropouts=None, task=TASK, **more):
    return simulate(
        task,
        sites,
        strategy or FedAvg(),
        rounds=rounds,
        seed=0,
        privacy=dp,
        ledger=roomy(dp),
        aggregator=dp.secure_sum(adversary="honest-but-curious", dropouts=dropouts),
        **more,
    )


def flat(params):
    return np.append(params["bias"], params["weights"])


@pytest.fixture
def no_noise(monkeypatch):
    """Neither mechanism draws noise: for tests that need the sum itself."""

    class Zero:
        tv_bound = 0.0

        def sample(self, n, rng):
            return np.zeros(n, np.int64)

    class Silent(LatticeGaussian):
        def add(self, total, plan, rng):
            return total

    monkeypatch.setattr(NoiseShare, "sampler", lambda self: Zero())
    monkeypatch.setattr(central_mechanism, "_NOISE", Silent())


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize("max_norm", [0.3, 1.0, 500.0])
def test_without_noise_it_is_central_dp_within_the_lattice(sites, max_norm):
    """Whatever the norm, no site's sum is cut: its range follows from the public q·N."""
    common = {"noise_multiplier": 2.0, "sampling_probability": 1.0, "population": 125}
    central = CentralDP(**common, max_grad_norm=max_norm, rounds=20, unit="record")
    ledger = Ledger(
        epsilon=1e3, delta=1e-3, unit="record", relation=central_mechanism.RELATION, mode="planned"
    )
    expected = simulate(
        TASK, sites, FedAvg(), rounds=5, seed=0, privacy=central, ledger=ledger
    ).params
    dp = distributed(max_norm=max_norm)
    got = run(dp, sites, rounds=5).params
    np.testing.assert_allclose(flat(got), flat(expected), atol=dp.shares.granularity / 10)


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize("seed", [None, bytes(range(32))])
def test_without_noise_and_clipping_sites_changes_are_averaged_alike(sites, seed):
    dp = of_sites(max_norm=50.0, rotation_seed=seed)
    got = run(dp, sites, rounds=1).params
    task, changes = TASK, []
    for site in sites:
        work = make_work(site, np.zeros(4), veil.random.SecureGenerator())
        changes.append(FedAvg().train(work).vector)
    np.testing.assert_allclose(flat(got), np.mean(changes, axis=0), atol=2 * dp.shares.granularity)
    assert task.init(None)["bias"] == 0


def make_work(site, vector, rng, task=TASK):
    return SiteRound(task, site, Layout.of(task.init(None)), vector, {}, {}, {}, rng)


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize("size", [4, 64])
@pytest.mark.parametrize("rotation", [None, bytes(32)])
def test_a_sites_upload_has_a_bounded_norm_after_rounding(site, stream, size, rotation):
    class Diverging(FedAvg):
        def train(self, work):
            upload = super().train(work)
            huge = np.resize(np.array([3e5, -1.0, 1e-3]), upload.vector.size)
            return dataclasses.replace(upload, vector=huge)

    task = LogisticRegression(features=size - 1, learning_rate=0.5, epochs=1, batch_size=None)
    wide = dataclasses.replace(
        site, x=np.resize(site.x, (40, size - 1)), x_test=np.resize(site.x_test, (40, size - 1))
    )
    dp = of_sites(size=size, max_norm=0.25, rotation_seed=rotation)
    for name in "abcdefgh":
        upload = dp.contribute(Diverging(), make_work(wide, np.zeros(size), stream(name), task))
        assert upload.weight is None
        assert upload.vector.dtype == np.int64
        norm = math.sqrt(int(np.dot(upload.vector, upload.vector)))
        assert 0.9 * 0.25 / dp.shares.granularity < norm <= dp.shares.sensitivity


def test_the_shares_of_the_honest_sites_make_up_the_event():
    for corrupt, honest in ((0, 3), (1, 2)):
        dp = distributed(max_corrupt=corrupt)
        lattice = dp.shares
        assert dp.honest == honest
        assert lattice.sensitivity == pytest.approx(1 / lattice.granularity + 2.0, rel=1e-12)
        assert 1e-3 / lattice.granularity >= 2.0  # √d is a thousandth of the clip
        multiplier = math.sqrt(honest * dp.share.sigma**2 - 3.5467) / lattice.sensitivity
        assert 2.0 <= multiplier < 2.0 * (1 + 1e-12)
        assert (dp.event().ratio, dp.event().count) == (0.5, 20)


def test_the_event_samples_with_the_public_probability():
    event = distributed(sampling_probability=0.25).event()
    assert event.to_dict() == {
        "kind": "gaussian", "sigma": 2.0, "sensitivity": 1.0, "sampling_probability": 0.25,
        "count": 20,
    }  # fmt: skip


def test_epsilon_is_that_of_central_dp():
    common = {"noise_multiplier": 1.5, "sampling_probability": 0.04, "rounds": 2250}
    dp = distributed(**common, population=500)
    assert dp.epsilon(1e-5) == pytest.approx(6.76879, rel=1e-4)


def test_calibration_meets_its_target():
    plan = {key: value for key, value in RECORD.items() if key != "noise_multiplier"}
    plan |= {"sampling_probability": 0.3, "population": 200, "rounds": 50}
    dp = DistributedDP.calibrate(target_epsilon=3.0, target_delta=1e-4, **plan)
    assert 2.9 < dp.epsilon(1e-4) <= 3.0
    less = dataclasses.replace(dp, noise_multiplier=0.98 * dp.noise_multiplier)
    assert less.epsilon(1e-4) > 3.0


@pytest.mark.parametrize("distribution", ["discrete-gaussian", "skellam"])
def test_calibration_of_sites_meets_its_target(distribution):
    plan = {key: value for key, value in SITE.items() if key != "noise_multiplier"}
    plan |= {"sites": 50, "min_survivors": 40, "size": 100, "distribution": distribution}
    dp = DistributedDP.calibrate(target_epsilon=4.0, target_delta=1e-3, **plan)
    assert 3.9 < dp.epsilon(1e-3) <= 4.0
    less = dataclasses.replace(dp, noise_multiplier=0.98 * dp.noise_multiplier)
    assert less.epsilon(1e-3) > 4.0


def test_skellam_costs_little_more_than_the_gaussian_and_is_never_sampled():
    plan = {"sites": 50, "min_survivors": 40, "size": 100}
    skellam = of_sites(distribution="skellam", **plan)
    assert of_sites(**plan).epsilon(1e-3) < skellam.epsilon(1e-3)
    assert skellam.event().sampling_probability == 1.0
    with pytest.raises(ValueError, match="no accountant amplifies"):
        distributed(distribution="skellam")


def test_adaptive_server_steps_take_the_private_mean(sites):
    done = run(distributed(), sites, strategy=FedAdam())
    assert np.isfinite(flat(done.params)).all()


def test_a_run_repeats_bit_for_bit_and_says_it_is_simulated(sites):
    one, two = run(distributed(), sites), run(distributed(), sites)
    np.testing.assert_array_equal(flat(one.params), flat(two.params))
    assert one.simulated


@pytest.mark.parametrize("when", [1, 2, 3, 4])
def test_a_site_may_vanish_in_every_protocol_round(sites, when):
    dp = distributed(min_survivors=2, max_corrupt=0)
    done = run(dp, sites, dropouts=lambda number: {"b": when} if number == 2 else {})
    expected = ("a", "c") if when <= 2 else ("a", "b", "c")
    assert done.rounds[1].survivors == expected


def test_a_round_that_failed_stays_charged(sites):
    dp = distributed(rounds=3)
    ledger = roomy(dp)
    settings = {"seed": 0, "privacy": dp, "ledger": ledger, "label": "run"}

    def go(dropouts, **more):
        sums = dp.secure_sum(adversary="honest-but-curious", dropouts=dropouts)
        return simulate(TASK, sites, FedAvg(), rounds=3, aggregator=sums, **settings, **more)

    states = []
    with pytest.raises(TooFewSurvivors):
        go(lambda number: {"b": 2} if number == 2 else {}, on_round=states.append)
    assert ledger.undrawn(dp.charge(states[-1].layout, label="run")) == 1
    with pytest.raises(veil.errors.BudgetExceeded):  # its repetition is one round more
        go(None, resume=states[-1])


def test_a_seeded_run_is_resumed_bit_for_bit(sites):
    states = []
    whole = run(distributed(), sites, rounds=4, on_round=states.append)
    resumed = run(distributed(), sites, rounds=4, resume=states[1])
    np.testing.assert_array_equal(flat(resumed.params), flat(whole.params))


def test_no_weight_and_no_count_leaves_a_site(sites, stream):
    for dp in (distributed(), of_sites()):
        assert dp.contribute(FedAvg(), make_work(sites[0], np.zeros(4), stream("x"))).weight is None
        config = dp.secure_sum(adversary="malicious").config(sites=3, length=4)
        assert (config.weight_max, config.weight_limbs) == (None, 0)
        with pytest.raises(ProtocolError, match="weight: expected None under differential"):
            dp.release(Sum(np.zeros(4), 7.0, tuple("abc")), task=TASK, params={}, rng=None)


def test_a_site_s_policy_accepts_this_mechanism_s_sessions_alone():
    dp = distributed()
    policy = dp.policy(min_cohort=3, roster=None)
    config = dp.secure_sum(adversary="honest-but-curious").config(sites=3, length=dp.length)
    policy.check_config(config)
    other = distributed(noise_multiplier=1.9).secure_sum(adversary="honest-but-curious")
    with pytest.raises(veil.errors.PolicyRefused, match=r"codec|noise"):
        policy.check_config(other.config(sites=3, length=dp.length))
    plain = dataclasses.replace(config, noise=None, weight_max=100)
    with pytest.raises(veil.errors.PolicyRefused, match=r"weight_max: .* expects None"):
        policy.check_config(plain)
    with pytest.raises(veil.errors.PolicyRefused, match="noise"):
        policy.check_config(dataclasses.replace(config, noise=None))


def test_all_parties_agree_on_lattice_noise_and_thresholds():
    config = distributed().secure_sum(adversary="malicious").config(sites=3, length=4)
    other = distributed(noise_multiplier=1.9).secure_sum(adversary="malicious")
    assert config.noise == distributed().share
    assert config.min_survivors == 3
    assert config.corrupt == 1
    assert config.digest() != other.config(sites=3, length=4).digest()


def test_the_statement_says_who_is_trusted_with_what(sites):
    dp = distributed(sampling_probability=0.25)
    said = run(dp, sites, rounds=1).privacy
    assert said.event == dp.event().to_dict()
    assert said.sigma == pytest.approx(2.0 * said.sensitivity_widened, rel=1e-6)
    assert 0.0 < said.slack < 1e-20
    assert any("nobody with another site's noiseless value" in line for line in said.trusted)
    assert any("S/2 times the variance" in line for line in said.caveats)
    assert any("leave out their noise" in line for line in said.caveats)
    for word in ("population N = 125", "q = 0.25", "survivors", "schema"):
        assert any(word in line for line in said.public), word
    assert PrivacyStatement.from_dict(json.loads(json.dumps(said.to_dict()))) == said


@pytest.mark.parametrize("dp", [distributed(), of_sites(rotation_seed=bytes(range(32)))])
def test_a_mechanism_survives_json(dp):
    assert DistributedDP.from_dict(json.loads(json.dumps(dp.to_dict()))) == dp


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_survivors": 2, "max_corrupt": 1}, r"min_survivors: expected at least .* = 3"),
        ({"min_survivors": 1, "max_corrupt": 0}, r"min_survivors: expected at least .* = 2"),
        ({"max_corrupt": -1}, "max_corrupt: expected at least 0"),
        ({"sites": 2, "min_survivors": 2, "max_corrupt": 0}, "sites: expected at least 3"),
        ({"min_survivors": 4}, "sites: expected at least 3 and at least min_survivors = 4"),
        ({"noise_multiplier": 1e-4}, r"sigma: expected at least 2\.67 lattice units"),
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
        ({"max_norm": math.inf}, "max_norm"),
        ({"unit": "hospital"}, "unit: expected 'patient', 'record' or 'site'"),
        ({"sampling_probability": 1.5}, "sampling_probability: expected at most 1"),
        ({"sampling_probability": None}, "sampling_probability: expected a number"),
        ({"population": None}, "population: expected a number"),
        ({"rounds": 0}, "rounds"),
        ({"size": 0}, "size"),
        ({"rotation_seed": bytes(32)}, "rotation_seed: expected None"),
        ({"distribution": "laplace"}, "distribution"),
    ],
)
def test_settings_that_would_not_be_private_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        distributed(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling_probability": 0.5}, "sampling_probability: expected None for unit='site'"),
        ({"population": 100}, "population: expected None for unit='site'"),
        ({"rotation_seed": b"short"}, "seed: expected 32 bytes"),
        ({"distribution": "laplace"}, "distribution: expected"),
    ],
)
def test_settings_that_do_not_go_with_sites_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        of_sites(**changes)


def test_the_least_noise_of_a_site_is_the_bound_and_not_more():
    finest = 2.67 * math.sqrt(2) * distributed().shares.granularity
    with pytest.raises(ValueError, match=r"2\.67 lattice units"):
        distributed(noise_multiplier=finest * 0.8)
    assert distributed(noise_multiplier=finest).share.sigma >= 2.67


@pytest.mark.parametrize("delta", [0.0, 1 / 125, 1.0])
def test_delta_must_be_below_one_patient_in_all(delta):
    with pytest.raises(ValueError, match="delta: expected a number in"):
        distributed().epsilon(delta)


def attempt(dp, sites, aggregator, strategy=None, rounds=1):
    return simulate(
        TASK, sites, strategy or FedAvg(), rounds=rounds, seed=0, privacy=dp, ledger=roomy(dp),
        aggregator=aggregator,
    )  # fmt: skip


def test_a_server_that_sees_each_site_is_refused(sites):
    with pytest.raises(ProtocolError, match="PlainSum would show the server each site's sum"):
        attempt(distributed(), sites, PlainSum())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"noise": None}, "noise"),
        ({"noise": NoiseShare(distribution="discrete-gaussian", sigma=3.0)}, "noise"),
        ({"codec": veil.FixedPoint(clip=1.0, bits=20, max_summands=3, rounding="nearest",
                                   noise=10**6)}, "codec"),
        ({"corrupt": 0}, "corrupt"),
        ({"min_survivors": None}, "min_survivors"),
        ({"noise": None, "weight_max": 100}, "noise"),
    ],
)  # fmt: skip
def test_an_aggregator_that_agrees_on_something_else_is_refused(sites, changes, named):
    dp = distributed()
    right = {"codec": dp.shares.codec, "dropout": 0, "corrupt": 1, "min_survivors": 3,
             "adversary": "honest-but-curious", "weight_max": None, "noise": dp.share}  # fmt: skip
    attempt(dp, sites, SecureSum(**right))
    with pytest.raises(ProtocolError, match=f"aggregator: {named}: expected"):
        attempt(dp, sites, SecureSum(**right | changes))


def test_weights_beside_noise_are_refused():
    dp = distributed()
    weighted = SecureSum(codec=dp.shares.codec, dropout=0, corrupt=1, min_survivors=3,
                         adversary="malicious", weight_max=100, noise=dp.share)  # fmt: skip
    with pytest.raises(ValueError, match="weight_max: expected None with noise"):
        weighted.config(sites=3, length=4)


@pytest.mark.parametrize("make", [distributed, of_sites])
def test_a_strategy_with_a_part_of_its_own_is_refused(sites, make):
    dp = make()
    with pytest.raises(ValueError, match="FedProx needs more than the mean"):
        attempt(dp, sites, dp.secure_sum(adversary="malicious"), FedProx(mu=0.1))


def test_a_strategy_that_reads_single_updates_is_refused(sites):
    class Median(FedAvg):
        @property
        def needs_individual_updates(self):
            return True

    dp = distributed()
    with pytest.raises(ProtocolError, match="Median reads each site's update"):
        attempt(dp, sites, dp.secure_sum(adversary="malicious"), Median())
    with pytest.raises(ValueError, match="Median needs more than the mean"):
        dp.check(TASK, Median(), dp.secure_sum(adversary="malicious"), sites, rounds=1)


def test_a_patient_at_two_sites_is_refused(sites):
    shared = [dataclasses.replace(s, patients=np.arange(s.n_train)) for s in sites]
    dp = distributed(unit="patient", max_rows_per_patient=1)
    with pytest.raises(DataError, match="sites 'a' and 'b' declare one patient"):
        attempt(dp, shared, dp.secure_sum(adversary="malicious"))


def test_other_numbers_of_sites_rounds_and_values_are_refused(sites):
    dp = distributed()
    sums = dp.secure_sum(adversary="malicious")
    with pytest.raises(ProtocolError, match=r"sites: expected 3 \(min_survivors\) to 3, got 2"):
        attempt(dp, sites[:2], sums)
    with pytest.raises(ValueError, match="accounts for 20 rounds, got 21"):
        attempt(dp, sites, sums, rounds=21)
    other = distributed(size=5)
    with pytest.raises(DataError, match="made for 5 values, the model has 4"):
        attempt(other, sites, other.secure_sum(adversary="malicious"))


@pytest.mark.parametrize("adversary", ["honest-but-curious", "malicious"])
def test_fewer_sites_than_the_most_may_run(sites, adversary):
    dp = distributed(sites=10)
    config = dp.secure_sum(adversary=adversary).config(sites=3, length=4)
    assert config.thresholds(3).min_survivors == 3
    assert config.dropout == 0
    sums = dp.secure_sum(adversary=adversary)
    history = simulate(
        TASK, sites, FedAvg(), rounds=1, seed=0, privacy=dp, ledger=roomy(dp), aggregator=sums
    )
    assert history.rounds[0].survivors == ("a", "b", "c")


def test_a_task_without_record_gradients_is_refused(sites):
    class Opaque:
        def init(self, rng): ...
        def local_update(self, params, site, *, correction, rng): ...
        def predict(self, params, x): ...
        def evaluate(self, params, site): ...

    dp = distributed()
    with pytest.raises(TypeError, match="task: expected per-record gradients"):
        dp.check(Opaque(), FedAvg(), dp.secure_sum(adversary="malicious"), sites, rounds=1)
    single = of_sites()
    single.check(Opaque(), FedAvg(), single.secure_sum(adversary="malicious"), sites, rounds=1)


def test_a_sum_of_too_few_sites_is_refused():
    with pytest.raises(ProtocolError, match="survivors: expected at least 3, got 2"):
        distributed().release(Sum(np.zeros(4), None, ("a", "b")), task=TASK, params={}, rng=None)


class Answers(FedAvg):
    """A strategy whose training gives, or raises, whatever a test says."""

    def __init__(self, change):
        object.__setattr__(self, "change", change)

    def train(self, work):
        if isinstance(self.change, Exception):
            raise self.change
        return dataclasses.replace(super().train(work), vector=self.change)


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize(
    "change",
    [
        np.full(4, np.nan),
        np.array([np.inf, 0.0, 0.0, 0.0]),
        np.zeros(5),
        np.zeros(4, np.int64),
        None,
        ZeroDivisionError("a patient's value"),
        ProtocolError("a patient's value"),
    ],
    ids=["nan", "inf", "length", "integers", "none", "raises", "raises ours"],
)
def test_a_site_whose_change_cannot_be_had_sends_what_a_zero_change_sends(site, stream, change):
    dp = of_sites()
    sent = dp.contribute(Answers(change), make_work(site, np.zeros(4), stream("x")))
    still = dp.contribute(Answers(np.zeros(4)), make_work(site, np.zeros(4), stream("x")))
    np.testing.assert_array_equal(sent.vector, still.vector)
    assert (sent.weight, dict(sent.keep)) == (None, {})


def test_a_site_without_a_change_still_adds_its_noise(site, stream):
    dp = of_sites()
    work = make_work(site, np.zeros(4), stream("x"))
    sent = dp.contribute(Answers(ValueError()), work)
    assert np.abs(sent.vector).max() > 0.1 * dp.share.sigma
    assert np.abs(dp.nothing(work.layout, stream("y")).vector).max() > 0.1 * dp.share.sigma


@pytest.mark.usefixtures("no_noise")
def test_a_change_that_overflows_in_the_rotation_counts_as_zero(site, stream):
    """Its norm is NaN, which compares with nothing: a small part of it would not be clipped."""
    dp = of_sites(size=8, rotation_seed=bytes(32))
    change = np.array([1.7e308, 1.7e308, 1.7e308, 1.7e308, 1e3, 0, 0, 0]) * dp.rotation._signs()
    rotated = dp.rotation.apply(change)
    assert np.isnan(rotated).any()
    assert abs(rotated[1]) > 100 * dp.max_norm
    task = dataclasses.replace(TASK, features=7)
    wide = dataclasses.replace(site, x=np.ones((site.n_train, 7)), x_test=np.ones((site.n_test, 7)))
    sent = dp.contribute(Answers(change), make_work(wide, np.zeros(8), stream("x"), task))
    np.testing.assert_array_equal(sent.vector, 0)
