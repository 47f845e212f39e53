"""Differential privacy: events and accounting, a ledger, mechanisms and queries."""

from veil.dp._book import Charge
from veil.dp._replay import verify_ledger
from veil.dp._spent import Spent
from veil.dp.accounting import (
    compare_accountants,
    epsilon,
    epsilon_curve,
    gdp_mu,
    privacy_profile,
    supported_accountants,
)
from veil.dp.calibration import calibrate_noise_multiplier
from veil.dp.choice import ExponentialMechanism, SparseVector, ThresholdSession
from veil.dp.events import RELATIONS, Event
from veil.dp.gaussian import GaussianMechanism
from veil.dp.histograms import histogram
from veil.dp.laplace import LaplaceMechanism
from veil.dp.ledger import Ledger, Reservation
from veil.dp.moments import count, mean, variance
from veil.dp.moments import sum as sum
from veil.dp.plan import planned
from veil.dp.quantile import quantiles
from veil.dp.release import Release

__all__ = [
    "RELATIONS",
    "Charge",
    "Event",
    "ExponentialMechanism",
    "GaussianMechanism",
    "LaplaceMechanism",
    "Ledger",
    "Release",
    "Reservation",
    "SparseVector",
    "Spent",
    "ThresholdSession",
    "calibrate_noise_multiplier",
    "compare_accountants",
    "count",
    "epsilon",
    "epsilon_curve",
    "gdp_mu",
    "histogram",
    "mean",
    "planned",
    "privacy_profile",
    "quantiles",
    "supported_accountants",
    "variance",
    "verify_ledger",
]
