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
from veil.dp.events import RELATIONS, Event
from veil.dp.ledger import Ledger, Reservation

__all__ = [
    "RELATIONS",
    "Charge",
    "Event",
    "Ledger",
    "Reservation",
    "Spent",
    "calibrate_noise_multiplier",
    "compare_accountants",
    "epsilon",
    "epsilon_curve",
    "gdp_mu",
    "privacy_profile",
    "supported_accountants",
    "verify_ledger",
]
