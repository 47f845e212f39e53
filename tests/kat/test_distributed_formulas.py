"""Known answers of distributed noise: published bounds, the exact divergences, and our events.

The bounds are those of Kairouz, Liu and Steinke 2021 (arXiv 2102.06387, Theorem 1) and of Agarwal,
Kairouz and Liu 2021 (arXiv 2110.04995), written out here for cross-checking only.
"""

import math

import numpy as np
import pytest
from mpmath import mp
from scipy import special

from veil.dp import Event, epsilon
from veil.dp._renyi import renyi_values
from veil.errors import UnsupportedEvent


def sum_of_gaussians_bound(h, sigma, alpha, delta2, delta1, d):
    total = h * sigma**2
    exponents = (-2 * math.pi**2 * sigma**2 * k / (k + 1) for k in range(1, h))
    tau = 10 * sum(map(math.exp, exponents))
    bound = min(
        alpha * delta2**2 / (2 * total) + tau * d,
        alpha / 2 * (delta2**2 / total + 2 * tau * delta1 / math.sqrt(total) + tau**2 * d),
        alpha / 2 * (delta2 / math.sqrt(total) + tau * math.sqrt(d)) ** 2,
    )
    return tau, bound


def skellam_bound(mu, alpha, delta2, delta1):
    offset = min(((2 * alpha - 1) * delta2**2 + 6 * delta1) / (4 * mu**2), 3 * delta1 / (2 * mu))
    return alpha * delta2**2 / (2 * mu) + offset


def divergence(pmf, shift, alpha):
    """Rényi divergence of a distribution on the integers from itself moved."""
    p, q = pmf[shift:], pmf[:-shift]
    return math.log(math.fsum(p**alpha * q ** (1 - alpha))) / (alpha - 1)


def gaussian_pmf(sigma, reach):
    z = np.arange(-reach, reach + 1)
    mass = np.exp(-(z**2) / (2 * sigma**2))
    return mass / mass.sum()


def skellam_pmf(mu, reach):
    return special.ive(np.abs(np.arange(-reach, reach + 1)), mu)


def test_two_sites_with_too_little_noise_each():
    """σ = 0.6: their sum is no discrete Gaussian, so each site must add 2.67 units at least."""
    tau, bound = sum_of_gaussians_bound(2, 0.6, 2, 1.0, 1.0, 1)
    one = gaussian_pmf(0.6, 8)
    exact = divergence(np.convolve(one, one), 1, 2)
    assert tau == pytest.approx(0.286369, abs=1e-6)
    assert bound == pytest.approx(1.67526, abs=1e-5)
    assert exact == pytest.approx(1.38889, abs=1e-5)
    assert exact <= bound


@pytest.mark.parametrize("sigma", [0.5, 0.6, 0.8, 1.0, 2.67])
@pytest.mark.parametrize("sites", [2, 3, 5])
def test_the_published_bound_holds_for_sums_of_gaussians(sigma, sites):
    pmf = one = gaussian_pmf(sigma, math.ceil(9 * sigma))
    for _ in range(sites - 1):
        pmf = np.convolve(pmf, one)
    for alpha in (1.5, 2.0, 4.0):
        trusted = pmf[pmf > 1e-18]
        _, bound = sum_of_gaussians_bound(sites, sigma, alpha, 1.0, 1.0, 1)
        assert divergence(trusted, 1, alpha) <= bound * (1 + 1e-9)


def distance_of_sum(sigma):
    """Largest log-ratio of a sum of two discrete Gaussians to the discrete Gaussian of its σ."""
    with mp.workprec(400):
        reach, squared = math.ceil(26 * sigma), 2 * mp.mpf(sigma) ** 2
        mass = {z: mp.exp(-(z**2) / squared) for z in range(-2 * reach, 2 * reach + 1)}
        normal = mp.fsum(mass.values())
        wide = {z: mp.exp(-(z**2) / (2 * squared)) for z in range(-4 * reach, 4 * reach + 1)}
        total = mp.fsum(wide.values())
        ratios = []
        for z in (0, 1, 2, 7):
            summed = mp.fsum(
                mass[k] * mass[z - k] for k in range(-reach, reach + 1) if abs(z - k) <= 2 * reach
            )
            ratios.append(abs(mp.log(summed / normal**2 / (wide[z] / total))))
        return float(max(ratios))


def test_from_2_67_units_on_a_sum_is_a_discrete_gaussian():
    assert distance_of_sum(2.67) < 2.0**-98
    assert distance_of_sum(2.4) > 2.0**-98  # the bound is not idle


def test_skellam():
    exact = divergence(skellam_pmf(400, 300), 10, 2)
    assert skellam_bound(400, 2, 10.0, 10.0) == pytest.approx(0.2505625, abs=1e-9)
    assert exact == pytest.approx(0.2499097, abs=1e-7)


@pytest.mark.parametrize("mu", [20.0, 400.0])
@pytest.mark.parametrize("shift", [1, 3])
def test_the_skellam_event_is_above_the_exact_divergence(mu, shift):
    event = Event.skellam(variance=mu, sensitivity=shift, l1_sensitivity=shift)
    orders = (2.0, 3.0, 8.0)
    charged = renyi_values((event,), orders, "zero-out")
    pmf = skellam_pmf(mu, math.ceil(8 * math.sqrt(mu)))
    for order, figure in zip(orders, charged, strict=True):
        published = skellam_bound(mu, order, shift, shift)
        assert divergence(pmf, shift, order) <= published * (1 + 1e-9)
        assert published <= figure * (1 + 1e-12)
        assert figure == pytest.approx(order * shift**2 / (2 * mu) + 1.5 * shift / mu, rel=1e-12)


def test_the_skellam_event_counts_at_whole_orders_up_to_256_alone():
    event = Event.skellam(variance=400.0, sensitivity=10.0, l1_sensitivity=10.0, count=3)
    orders = (1.5, 2.0, 2.5, 256.0, 257.0)
    assert np.isfinite(renyi_values((event,), orders, "zero-out")).tolist() == [
        False, True, False, True, False,
    ]  # fmt: skip
    gaussian = Event.gaussian(sigma=20.0, sensitivity=10.0, count=3)
    rdp = {"delta": 1e-5, "relation": "zero-out", "accountant": "rdp"}
    assert epsilon(gaussian, **rdp) < epsilon(event, **rdp) < epsilon(gaussian, **rdp) + 0.15
    with pytest.raises(UnsupportedEvent):
        epsilon(event, **rdp | {"accountant": "pld"})
    with pytest.raises(ValueError, match="no accountant amplifies"):
        Event("skellam", 20.0, 10.0, 0.5, 1, 10.0)


def test_a_skellam_event_survives_json_and_others_keep_their_fields():
    event = Event.skellam(variance=400.0, sensitivity=10.0, l1_sensitivity=30.0, count=2)
    assert Event.from_dict(event.to_dict()) == event
    assert "l1_sensitivity" not in Event.pure(epsilon=1.0).to_dict()
    with pytest.raises(ValueError, match="l1_sensitivity: expected 0 for kind 'gaussian'"):
        Event("gaussian", 1.0, 1.0, 1.0, 1, 3.0)
    with pytest.raises(ValueError, match="event: expected the fields"):
        Event.from_dict({**Event.pure(epsilon=1.0).to_dict(), "l1_sensitivity": 1.0})
