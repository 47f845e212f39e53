"""Differential privacy: events and accounting, a ledger, mechanisms and queries."""

from veil.dp.accounting import (
    calibrate_noise_multiplier,
    compare_accountants,
    epsilon,
    epsilon_curve,
    gdp_mu,
    privacy_profile,
    supported_accountants,
)
from veil.dp.events import RELATIONS, Event

__all__ = [
    "RELATIONS",
    "Event",
    "calibrate_noise_multiplier",
    "compare_accountants",
    "epsilon",
    "epsilon_curve",
    "gdp_mu",
    "privacy_profile",
    "supported_accountants",
]
