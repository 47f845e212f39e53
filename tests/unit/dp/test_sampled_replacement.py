"""Sampling under replace-one: a distance between two values does not say what it costs.

A record that is not drawn adds 0. So what counts is how far both values are from 0, which the norm
that contributions are clipped to bounds, and their distance does not.
"""

import numpy as np
import pytest
from scipy import integrate, stats

from veil import dp
from veil.errors import UnsupportedEvent, VeilError

Q, SIGMA, DELTA = 0.05, 10.0, 1e-5
REPLACE = "replace-one"


def true_delta(epsilon, one, other, *, q=Q, sigma=SIGMA):
    """The divergence of two mixtures: drawn with probability q, else 0; by quadrature."""

    def excess(x):
        density = [
            q * stats.norm.pdf(x, value, sigma) + (1.0 - q) * stats.norm.pdf(x, 0.0, sigma)
            for value in (one, other)
        ]
        return max(density[0] - np.exp(epsilon) * density[1], 0.0)

    spread = 12.0 * sigma
    ends = min(one, other, 0.0) - spread, max(one, other, 0.0) + spread
    value, _ = integrate.quad(excess, *ends, limit=2000, points=(one, other, 0.0))
    return value


def ledger(mode):
    return dp.Ledger(epsilon=8.0, delta=DELTA, unit="patient", relation=REPLACE, mode=mode)


STATED = dp.Event.gaussian(sigma=SIGMA, sensitivity=10.0, sampling_probability=Q, clip=5.0)
UNSTATED = dp.Event.gaussian(sigma=SIGMA, sensitivity=10.0, sampling_probability=Q)


def test_a_stated_norm_is_charged_what_its_worst_values_cost():
    claimed = dp.epsilon(STATED, delta=DELTA, relation=REPLACE)
    assert true_delta(claimed, -5.0, 5.0) == pytest.approx(DELTA, rel=0.05)
    for one, other in ((5.0, -5.0), (0.0, 5.0), (-5.0, 2.0), (5.0, 4.0)):
        assert true_delta(claimed, one, other) <= DELTA * 1.01


def test_the_same_distance_far_from_zero_costs_a_thousand_times_as_much():
    """What was claimed for 50 against 60, before the norm was asked for."""
    claimed = dp.epsilon(STATED, delta=DELTA, relation=REPLACE)
    assert true_delta(claimed, 60.0, 50.0) > 1000.0 * DELTA


def test_without_the_norm_no_accountant_takes_the_event():
    with pytest.raises(VeilError, match="clip"):
        dp.epsilon(UNSTATED, delta=DELTA, relation=REPLACE)


@pytest.mark.parametrize("mode", ["planned", "adaptive"])
def test_without_the_norm_no_ledger_takes_the_event(mode):
    book = ledger(mode)
    with pytest.raises(VeilError):
        book.reserve([dp.Charge("a", UNSTATED, 0.0)])
    assert book.spent().releases == 0


def test_with_the_norm_a_planned_ledger_takes_it():
    book = ledger("planned")
    with book.reserve([dp.Charge("a", STATED, 0.0)]):
        book.charge(STATED, label="a")
    assert book.spent().releases == 1


def test_a_sensitivity_that_is_not_twice_the_norm_is_refused():
    with pytest.raises(ValueError, match="sensitivity: expected clip"):
        dp.Event.gaussian(sigma=SIGMA, sensitivity=10.0, sampling_probability=Q, clip=30.0)
    once = dp.Event.gaussian(sigma=SIGMA, sensitivity=5.0, sampling_probability=Q, clip=5.0)
    with pytest.raises(UnsupportedEvent):
        dp.epsilon(once, delta=DELTA, relation=REPLACE)


def test_the_norm_is_kept_where_events_are_written():
    assert dp.Event.from_dict(STATED.to_dict()) == STATED
    assert "clip" not in UNSTATED.to_dict()


def test_a_calibrated_multiplier_is_the_least_for_values_of_that_norm():
    z = dp.calibrate_noise_multiplier(
        target_epsilon=0.5, target_delta=DELTA, sampling_probability=Q, steps=1, relation=REPLACE
    )
    # The multiplier is sigma over 2 C: values of -C and C, with C = 1.
    assert true_delta(0.5, -1.0, 1.0, sigma=2.0 * z) <= DELTA * 1.001
    assert true_delta(0.5, -1.0, 1.0, sigma=2.0 * z * 0.995) > DELTA
