"""Accounting: the published values, the translation per accountant and relation, calibration."""

import itertools
import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from veil import dp
from veil.dp import accounting, calibration
from veil.dp._gaussian import gaussian_epsilon, gaussian_log_delta, gaussian_mu
from veil.dp._losses import losses_of
from veil.dp._renyi import renyi_values

ADD = "add-or-remove-one"
RELATIONS = dp.RELATIONS


def gaussian(sigma, sensitivity=1.0, q=1.0, count=1, clip=None):
    return dp.Event.gaussian(
        sigma=sigma, sensitivity=sensitivity, sampling_probability=q, count=count, clip=clip
    )


# --- published values -----------------------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 0.12693674), (2.0, 0.02092364)])
def test_gaussian_delta_agrees_with_the_closed_form(epsilon, delta):
    assert math.exp(gaussian_log_delta(epsilon, 1.0)) == pytest.approx(delta, rel=1e-6)
    pld = losses_of(gaussian(1.0), ADD).get_delta_for_epsilon(epsilon)
    assert pld == pytest.approx(delta, rel=1e-4)
    assert pld >= math.exp(gaussian_log_delta(epsilon, 1.0))


def discrete_gaussian_delta(sigma, sensitivity, epsilon):
    k = np.arange(-60, 61, dtype=float)
    weights = np.exp(-(k**2) / (2 * sigma**2))
    shifted = np.exp(-((k - sensitivity) ** 2) / (2 * sigma**2))
    total = np.exp(-(np.arange(-200, 201) ** 2) / (2 * sigma**2)).sum()
    return float(np.maximum(weights - math.exp(epsilon) * shifted, 0.0).sum() / total)


def test_exact_delta_of_the_discrete_gaussian_and_the_event_that_bounds_it():
    exact = discrete_gaussian_delta(1.0, 1, 1.0)
    assert exact == pytest.approx(0.1413513394, rel=1e-9)
    event = dp.Event.discrete_gaussian(sigma=1.0, sensitivity=1.0)
    assert dp.privacy_profile(event, epsilons=[1.0], relation=ADD)[0] >= exact
    # The continuous event would claim less than the discrete mechanism spends.
    assert math.exp(gaussian_log_delta(1.0, 1.0)) < exact


def test_discrete_gaussian_of_sigma_two_is_what_epsilon_three_needs():
    assert discrete_gaussian_delta(2.0, 1, 3.0) == pytest.approx(4.009028e-10, rel=1e-5)


def test_discrete_laplace_delta():
    event = dp.Event.discrete_laplace(scale=2.0, sensitivity=4)
    delta = dp.privacy_profile(event, epsilons=[0.5], relation=ADD)[0]
    assert delta == pytest.approx(0.54202002, rel=1e-4)


def test_poisson_subsampled_gaussian_delta_of_both_directions():
    pld = losses_of(gaussian(1.0, q=0.8), ADD)
    assert pld._pmf_add.get_delta_for_epsilon(1.0) == pytest.approx(0.0231362104090899, rel=1e-4)
    assert pld._pmf_remove.get_delta_for_epsilon(1.0) == pytest.approx(0.0816951786585355, rel=1e-4)


@pytest.mark.parametrize(
    ("event", "delta", "accountant", "expected"),
    [
        (gaussian(1.5, q=0.04, count=2250), 1e-5, "rdp", 7.3293347),
        (gaussian(1.5, q=0.04, count=2250), 1e-5, "pld", 6.76879),
        (gaussian(3.0, q=0.1, count=512), 1e-6, "pld", 3.76969),
        (gaussian(2.0), 1e-5, "pld", 1.99309),
        (gaussian(2.0), 1e-5, "rdp", 2.16572),
        (gaussian(1.0, count=3), 1e-5, "best", 8.385),
    ],
)
def test_epsilon_agrees_with_published_values(event, delta, accountant, expected):
    got = dp.epsilon(event, delta=delta, relation=ADD, accountant=accountant)
    assert got == pytest.approx(expected, rel=1e-4)


def test_replace_one_takes_the_distance_between_neighbours():
    # A sum clipped to norm 1, sigma 2: neighbours differ by 2 in norm.
    event = gaussian(2.0, sensitivity=2.0)
    figures = dp.compare_accountants(event, delta=1e-5, relation="replace-one")
    assert figures["pld"] == pytest.approx(4.37718, rel=1e-4)
    half = dp.compare_accountants(gaussian(2.0), delta=1e-5, relation="replace-one")
    assert half["rdp"] == pytest.approx(2.16572, rel=1e-4)
    assert half["pld"] == pytest.approx(1.99309, rel=1e-4)


def test_calibration_agrees_with_the_published_multiplier():
    z = dp.calibrate_noise_multiplier(
        target_epsilon=1.0, target_delta=1e-6, sampling_probability=0.1, steps=512
    )
    assert z == pytest.approx(9.66183, rel=1e-4)


# --- bounds ---------------------------------------------------------------------------------------

EVENTS = [
    gaussian(0.7),
    gaussian(2.0, count=10),
    gaussian(1.1, q=0.01, count=1000),
    gaussian(4.0, q=0.5, count=20),
    dp.Event.discrete_laplace(scale=10.0, sensitivity=7),
    dp.Event.discrete_laplace(scale=1000.0, sensitivity=300, count=5),
    dp.Event.pure(epsilon=0.1, count=20),
    dp.Event.pure(epsilon=3.0),
]


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_rdp_is_never_below_pld(event, relation):
    figures = dp.compare_accountants(event, delta=1e-6, relation=relation)
    if figures["pld"] is None or figures["rdp"] is None:
        assert relation == "replace-one"
        assert event.sampling_probability < 1.0
        assert figures["rdp"] is None
        return
    assert figures["rdp"] >= figures["pld"]


def test_the_closed_form_is_never_above_pld():
    figures = dp.compare_accountants(gaussian(1.3, count=4), delta=1e-6, relation="zero-out")
    assert figures["gaussian"] <= figures["pld"] <= figures["gaussian"] * 1.0001


@pytest.mark.parametrize("relation", RELATIONS)
def test_pure_event_spends_its_epsilon(relation):
    event = dp.Event.pure(epsilon=0.8)
    got = dp.epsilon(event, delta=1e-9, relation=relation)
    assert 0.8 * (1 - 1e-3) <= got <= 0.8 + 2e-4


@pytest.mark.parametrize("shifts", [(1, 1), (2, 1), (3, 2), (1, 4)])
@pytest.mark.parametrize("scale", [0.7, 2.0, 6.0])
def test_one_dimensional_discrete_laplace_dominates_several(shifts, scale):
    """The event of a vector release: all of the L1 sensitivity in one coordinate is the worst."""

    def pmf(shift):
        k = np.arange(-int(45 * scale) - 5, int(45 * scale) + 6)
        return np.exp(-np.abs(k - shift) / scale) * math.tanh(0.5 / scale)

    here = np.outer(pmf(0), pmf(0))
    there = np.outer(pmf(shifts[0]), pmf(shifts[1]))
    total = sum(shifts)
    for share in np.linspace(0.0, 0.99, 12):
        e = math.exp(share * total / scale)
        both = np.maximum(here - e * there, 0.0).sum()
        one = np.maximum(pmf(0) - e * pmf(total), 0.0).sum()
        assert both <= one + 1e-12


# --- composition ----------------------------------------------------------------------------------


def test_unsampled_gaussians_merge_into_one():
    merged = accounting.merge_events([gaussian(2.0), gaussian(3.0, sensitivity=2.0, count=2)])
    assert len(merged) == 1
    assert merged[0].ratio == pytest.approx(math.sqrt(1 / 4 + 2 * 4 / 9), rel=1e-15)


def test_order_of_events_does_not_matter():
    events = [gaussian(1.1, q=0.01, count=10), dp.Event.pure(epsilon=0.1), gaussian(3.0)]
    merged = {accounting.merge_events(p) for p in itertools.permutations(events)}
    assert len(merged) == 1


def test_no_events_spend_nothing():
    assert dp.epsilon([], delta=1e-6, relation=ADD) == 0.0
    assert dp.gdp_mu([], relation=ADD) == 0.0


def test_epsilon_curve_grows_and_ends_at_epsilon():
    step = gaussian(1.1, q=0.01)
    curve = dp.epsilon_curve(step, counts=[1, 100, 1000], delta=1e-5, relation=ADD)
    assert np.all(np.diff(curve) > 0)
    assert curve[-1] == dp.epsilon(gaussian(1.1, q=0.01, count=1000), delta=1e-5, relation=ADD)


def test_profile_passes_through_epsilon_and_delta():
    event = gaussian(1.1, q=0.01, count=100)
    e = dp.epsilon(event, delta=1e-5, relation=ADD, accountant="pld")
    assert dp.privacy_profile(event, epsilons=[e], relation=ADD)[0] == pytest.approx(1e-5, rel=1e-6)


def test_gdp_mu_is_exact_for_gaussians_and_an_upper_curve_for_sampled_ones():
    assert dp.gdp_mu(gaussian(2.0), relation=ADD) == pytest.approx(0.5)
    event = gaussian(1.1, q=0.01, count=500)
    mu = dp.gdp_mu(event, relation=ADD)
    points = np.linspace(0.0, dp.epsilon(event, delta=1e-9, relation=ADD), 17)
    ours = np.exp([gaussian_log_delta(e, mu) for e in points])
    assert np.all(ours >= dp.privacy_profile(event, epsilons=points, relation=ADD) * (1 - 1e-3))


# --- slack and delta ------------------------------------------------------------------------------


def test_slack_is_paid_at_the_total_epsilon():
    event = gaussian(1.0)
    slack = 1e-11
    e = dp.epsilon(event, delta=1e-6, relation=ADD, slack=slack)
    spent = math.exp(gaussian_log_delta(e, 1.0)) + (1 + math.exp(e)) * slack
    assert spent <= 1e-6
    assert e > dp.epsilon(event, delta=1e-6, relation=ADD)


def test_slack_that_takes_more_than_a_hundredth_of_delta_is_refused():
    with pytest.raises(ValueError, match="slack: expected"):
        dp.epsilon(gaussian(1.0), delta=1e-6, relation=ADD, slack=1e-8)


def test_additive_delta_is_subtracted():
    e = dp.epsilon(gaussian(1.0), delta=1e-6, relation=ADD, additive_delta=4e-7)
    assert e == pytest.approx(dp.epsilon(gaussian(1.0), delta=6e-7, relation=ADD), rel=1e-9)
    with pytest.raises(ValueError, match="additive_delta"):
        dp.epsilon(gaussian(1.0), delta=1e-6, relation=ADD, additive_delta=1e-6)


def test_pld_is_not_trusted_at_tiny_delta():
    event = gaussian(2.0, q=0.5)
    assert dp.supported_accountants(event, relation=ADD, delta=1e-13) == ("rdp",)
    with pytest.raises(ValueError, match="'pld' does not support"):
        dp.epsilon(event, delta=1e-13, relation=ADD, accountant="pld")


def test_unsupported_events_are_refused():
    small = dp.Event.discrete_gaussian(sigma=1.0, sensitivity=1.0)
    sampled = gaussian(2.0, q=0.5, clip=0.5)
    assert dp.supported_accountants([small], relation="replace-one", delta=1e-6) == ("rdp",)
    with pytest.raises(ValueError, match="no accountant supports"):
        dp.epsilon([small, sampled], delta=1e-6, relation="replace-one")


# --- closed form ----------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 1.0, 10.0, 200.0])
@pytest.mark.parametrize("delta", [1e-2, 1e-6, 1e-15, 1e-100])
def test_calibrated_gaussian_meets_delta_with_sixty_digits(epsilon, delta):
    mu = gaussian_mu(epsilon, delta)
    with mpmath.workdps(400):
        e, m = mpmath.mpf(epsilon), mpmath.mpf(mu)

        def exact(m):
            return mpmath.ncdf(m / 2 - e / m) - mpmath.exp(e) * mpmath.ncdf(-m / 2 - e / m)

        assert exact(m) <= delta
        assert exact(m * (1 + mpmath.mpf(10) ** -9)) > delta


@pytest.mark.parametrize("mu", [1e-3, 0.3, 2.0, 20.0])
def test_gaussian_epsilon_inverts_delta(mu):
    e = gaussian_epsilon(mu, 1e-7)
    assert math.exp(gaussian_log_delta(e, mu)) <= 1e-7 * (1 + 1e-9)
    assert gaussian_epsilon(1e-9, 1e-3) == 0.0


@pytest.mark.parametrize(
    ("target", "q", "steps", "accountant", "relation"),
    [
        (0.01, 0.1, 512, "pld", ADD),
        (2.0, 1.0, 5, "gaussian", ADD),
        (1.0, 0.02, 200, "rdp", "zero-out"),
        (1.0, 0.1, 64, "pld", "replace-one"),
        (8.0, 0.25, 30, "pld", ADD),
        (0.7, 0.003, 20, "best", ADD),
    ],
)
def test_calibrated_multiplier_meets_the_target(target, q, steps, accountant, relation):
    z = dp.calibrate_noise_multiplier(
        target_epsilon=target,
        target_delta=1e-6,
        sampling_probability=q,
        steps=steps,
        accountant=accountant,
        relation=relation,
    )
    clip = 0.5 if relation == "replace-one" else None
    spent = dp.epsilon(
        gaussian(z, q=q, count=steps, clip=clip),
        delta=1e-6,
        relation=relation,
        accountant=accountant,
    )
    assert target * (1 - 2e-5) <= spent <= target


def test_the_same_calibration_costs_nothing_the_second_time(monkeypatch):
    arguments = {
        "target_epsilon": 1.5,
        "target_delta": 1e-6,
        "sampling_probability": 0.2,
        "steps": 7,
    }
    first = dp.calibrate_noise_multiplier(**arguments)
    monkeypatch.setattr(calibration, "epsilon", lambda *_, **__: pytest.fail("computed again"))
    assert dp.calibrate_noise_multiplier(**arguments) == first


def test_a_calibration_asks_the_accountant_itself_a_few_times(monkeypatch):
    asked = []

    def counted(event, **more):
        asked.append(event)
        return dp.epsilon(event, **more)

    monkeypatch.setattr(calibration, "epsilon", counted)
    z = dp.calibrate_noise_multiplier(
        target_epsilon=6.0, target_delta=2e-4, sampling_probability=0.25, steps=31
    )
    assert len(asked) <= 4
    assert z in [event.sigma for event in asked]


CALIBRATES = """
import resource
from veil import dp
print(dp.calibrate_noise_multiplier(
    target_epsilon=0.01, target_delta=1e-6, sampling_probability=0.01, steps=10_000))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # kB
"""


def test_a_small_epsilon_needs_little_memory():
    done = subprocess.run(
        [sys.executable, "-c", CALIBRATES], check=True, capture_output=True, text=True, timeout=120
    )
    multiplier, kilobytes = map(float, done.stdout.split())
    assert multiplier == pytest.approx(1 / gaussian_mu(0.01, 1e-6), rel=1e-3)  # the central limit
    assert kilobytes < 2e6


def test_a_target_that_sampling_alone_meets_is_met():
    z = dp.calibrate_noise_multiplier(
        target_epsilon=1.0, target_delta=1e-2, sampling_probability=1e-3, steps=1
    )
    spent = dp.epsilon(gaussian(z, q=1e-3, count=1), delta=1e-2, relation=ADD, accountant="rdp")
    assert spent <= 1.0


# --- wrong use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("target_epsilon", {"target_epsilon": 0.0}),
        ("target_epsilon", {"target_epsilon": math.nan}),
        ("target_delta", {"target_delta": 0.0}),
        ("target_delta", {"target_delta": 1.0}),
        ("sampling_probability", {"sampling_probability": 0.0}),
        ("sampling_probability", {"sampling_probability": 1.5}),
        ("steps", {"steps": 0}),
        ("relation", {"relation": "replace"}),
        ("accountant", {"accountant": "prv"}),
    ],
)
def test_calibration_names_the_wrong_argument(name, arguments):
    good = {
        "target_epsilon": 1.0,
        "target_delta": 1e-6,
        "sampling_probability": 0.1,
        "steps": 10,
    }
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        dp.calibrate_noise_multiplier(**{**good, **arguments})


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "laplace"},
        {"sigma": 0.0},
        {"sigma": math.inf},
        {"sensitivity": -1.0},
        {"sensitivity": math.nan},
        {"sampling_probability": 0.0},
        {"count": 0},
    ],
)
def test_event_refuses_fields_outside_their_range(fields):
    good = {"kind": "gaussian", "sigma": 1.0, "sensitivity": 1.0}
    with pytest.raises(ValueError, match=f"^{next(iter(fields))}: expected"):
        dp.Event(**{**good, **fields})


def test_only_gaussian_events_may_be_sampled():
    with pytest.raises(ValueError, match="no accountant amplifies"):
        dp.Event("pure", 1.0, 0.5, sampling_probability=0.1)


def test_event_survives_a_dict_and_nothing_else_is_read():
    event = gaussian(1.5, sensitivity=0.25, q=0.04, count=2250)
    assert dp.Event.from_dict(event.to_dict()) == event
    for wrong in ({**event.to_dict(), "module": "os"}, {"kind": "gaussian"}):
        with pytest.raises(ValueError, match="expected the fields"):
            dp.Event.from_dict(wrong)
    with pytest.raises(ValueError, match="kind: expected one of"):
        dp.Event.from_dict({**event.to_dict(), "kind": "os.system"})


def test_import_does_not_load_the_accountants():
    import subprocess
    import sys

    code = (
        "import sys, veil.dp; "
        "print([m for m in ('scipy', 'dp_accounting', 'mpmath', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 1.0, 5.0, 30.0])
def test_renyi_divergence_of_a_pure_event_is_that_of_randomised_response(epsilon):
    order = 3.0
    (got,) = renyi_values([dp.Event.pure(epsilon=epsilon)], [order], "zero-out")
    p, q = 1 / (1 + math.exp(-epsilon)), 1 / (1 + math.exp(epsilon))
    exact = math.log(p**order * q ** (1 - order) + q**order * p ** (1 - order))
    assert got == pytest.approx(exact / (order - 1), rel=1e-6, abs=1e-12)
    assert got <= min(epsilon, order * epsilon**2 / 2) * (1 + 1e-9)
    assert renyi_values([dp.Event.pure(epsilon=800.0)], [order], "zero-out") > 0
