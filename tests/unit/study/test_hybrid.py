"""The arm hybrid: when it runs, at which epsilons, and with whose noise."""

import math

import pytest

from veil.fl import CentralDP
from veil.fl.layout import Entry, Layout
from veil.study import StudyOptions
from veil.study.hybrid import caveat, chosen_epsilons, left_out, make_hybrid

CENTRAL = CentralDP(
    noise_multiplier=1.7,
    max_grad_norm=0.4,
    sampling_probability=0.3,
    population=455,
    rounds=30,
    unit="patient",
    max_rows_per_patient=3,
)
SIZE = 31


@pytest.mark.parametrize("n_sites", [3, 4, 5, 7, 30])
def test_it_has_the_event_of_central_dp_and_s_over_m_times_its_variance(n_sites):
    hybrid = make_hybrid(CENTRAL, size=SIZE, n_sites=n_sites)
    assert hybrid.event() == CENTRAL.event()
    assert hybrid.epsilon(1e-4) == pytest.approx(CENTRAL.epsilon(1e-4, size=SIZE), rel=1e-9)
    layout = Layout((Entry("w", (SIZE,), "float64"),))
    trusted = CENTRAL.statement(layout, seeded=True).sigma
    drawn = math.sqrt(n_sites) * hybrid.share.sigma * hybrid.shares.granularity
    assert (drawn / trusted) ** 2 == pytest.approx(n_sites / (n_sites - 1), rel=0.01)
    assert f"{n_sites}/{n_sites - 1} of that of DP-FedSGD" in caveat(n_sites)


@pytest.mark.parametrize("n_sites", [3, 4, 5, 7, 30])
def test_the_protocol_is_safe_and_live_for_every_number_of_sites(n_sites):
    sums = make_hybrid(CENTRAL, size=SIZE, n_sites=n_sites).secure_sum(adversary="malicious")
    thresholds = sums.config(sites=n_sites, length=SIZE).thresholds(n_sites)
    assert thresholds.honest == n_sites - 1


@pytest.mark.parametrize(
    ("epsilons", "asked", "chosen"),
    [
        ((0.1, 0.5, 1.0, 2.0, 4.0, 8.0), None, (1.0,)),
        ((1.0, 8.0), None, (1.0,)),
        ((4.0,), None, (4.0,)),
        ((0.5, 2.0), None, (0.5,)),
        ((), None, ()),
        ((1.0, 8.0), (), ()),
        ((1.0, 4.0, 8.0), (8.0, 1.0), (1.0, 8.0)),
    ],
)
def test_the_epsilons_of_the_arm(epsilons, asked, chosen):
    assert chosen_epsilons(epsilons, asked) == chosen


@pytest.mark.parametrize(
    ("n_sites", "asked", "said"),
    [
        (2, None, "at least 3 sites, here are 2"),
        (2, (1.0,), "at least 3 sites, here are 2"),
        (31, None, "31 sites would exchange keys"),
        (5, (), "as asked"),
    ],
)
def test_a_study_without_the_arm_says_why(n_sites, asked, said):
    assert said in left_out(n_sites, asked)


@pytest.mark.parametrize(("n_sites", "asked"), [(3, None), (30, None), (31, (1.0,))])
def test_the_arm_runs_from_three_sites_on(n_sites, asked):
    assert left_out(n_sites, asked) is None


def test_an_epsilon_without_its_central_counterpart_is_refused():
    with pytest.raises(ValueError, match=r"hybrid: expected values of epsilons .* got \[3\.0\]"):
        StudyOptions(epsilons=(1.0, 8.0), hybrid=(3.0,))
    with pytest.raises(ValueError, match="hybrid: expected a tuple"):
        StudyOptions(hybrid=1.0)
    assert StudyOptions(epsilons=(1.0, 8.0), hybrid=[8]).hybrid == (8.0,)
