"""From Veil's events to dp-accounting's, for each accountant and relation.

- replace-one: PLD's own Gaussian moves one record from -1 to +1, a distance of 2, so it takes
  sigma / (sensitivity / 2); RDP takes the distance itself. With Poisson sampling the record's
  absence, 0, lies in the middle: right for contributions clipped to sensitivity / 2 alone, which
  `refusal` asks for.
- A pure event's loss is exactly +-epsilon: `DiscreteLaplaceDpEvent(epsilon, 1)`, and randomised
  response with two answers where the former is not supported: under replace-one, and in RDP. Every
  epsilon-DP mechanism is a post-processing of it (Kairouz, Oh and Viswanath 2015, Theorem 2.1), so
  that its own relation, replace-one, stands for any. Below the (epsilon^2 / 2)-zCDP of Bun and
  Steinke 2016, Proposition 1.4, which serves where epsilon is too large for a double.
- Skellam noise has the bound a rho + xi at whole orders a (Agarwal, Kairouz and Liu 2021, arXiv
  2110.04995): a zCDP event with an offset, never used at other orders, nor sampled.
- A discrete Laplace under replace-one and in RDP is charged as the pure event of its largest loss;
  in PLD too where its sensitivity has so many lattice units that a list of them would be long.
"""

import math
from typing import Any

from veil.dp.events import Event

__all__ = [
    "ACCOUNTANTS",
    "PURE_KINDS",
    "SKELLAM_MOST_ORDER",
    "refusal",
    "relation_of",
    "translate",
]

PURE_KINDS = ("pure", "discrete-laplace")
SKELLAM_MOST_ORDER = 256
ACCOUNTANTS = ("gaussian", "pld", "rdp")
_MOST_LISTED = 2**20
# Below this the zCDP bound of a pure event is right to 1e-7, and randomised response cancels.
_LEAST_RESPONSE = 1e-3


def relation_of(relation: str) -> Any:
    """Return dp-accounting's name of a relation."""
    from dp_accounting import NeighboringRelation

    return {
        "add-or-remove-one": NeighboringRelation.ADD_OR_REMOVE_ONE,
        "replace-one": NeighboringRelation.REPLACE_ONE,
        "zero-out": NeighboringRelation.REPLACE_SPECIAL,
    }[relation]


def refusal(event: Event, relation: str) -> str | None:
    """Return why no accountant may be asked about an event under a relation, or None."""
    replaced = relation == "replace-one"
    if event.clip is None:
        if not replaced or event.sampling_probability == 1.0:
            return None
        return (
            f"event: {event}: Poisson sampling under replace-one needs the norm C to which each "
            "unit's contribution is clipped: Event.gaussian(sigma=..., sensitivity=2 * C, clip=C, "
            "...). Without it delta may be a thousand times what the distance between two values "
            "says, for whoever is not drawn contributes 0. A ledger that holds such events spends "
            "them no more: open a new one, or use relation='add-or-remove-one'"
        )
    expected = 2.0 * event.clip if replaced else event.clip
    if event.sensitivity == expected:
        return None
    return (
        f"event: {event}: expected sensitivity = {'2 clip' if replaced else 'clip'} = "
        f"{expected:g} under {relation}, got {event.sensitivity:g}"
    )


def translate(event: Event, accountant: str, relation: str) -> Any | None:
    """Return the dp-accounting event of one run, or None if that accountant has none."""
    if refusal(event, relation) is not None:
        return None
    return _for_pld(event, relation) if accountant == "pld" else _for_rdp(event, relation)


def _for_pld(event: Event, relation: str) -> Any | None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.dp_event import DiscreteLaplaceDpEvent

    if event.kind in ("discrete-gaussian", "skellam"):
        return None
    if event.kind == "gaussian":
        distance = 2.0 if relation == "replace-one" else 1.0
        inner = GaussianDpEvent(distance * event.sigma / event.sensitivity)
        if event.sampling_probability == 1.0:
            return inner
        return PoissonSampledDpEvent(event.sampling_probability, inner)
    if relation == "replace-one":
        return _randomized_response(event.ratio)
    if event.kind == "discrete-laplace" and event.sensitivity <= _MOST_LISTED:
        return DiscreteLaplaceDpEvent(1.0 / event.sigma, int(event.sensitivity))
    return DiscreteLaplaceDpEvent(event.ratio, 1)


def _randomized_response(epsilon: float) -> Any | None:
    from dp_accounting import RandomizedResponseDpEvent

    noise = 2.0 / (1.0 + math.exp(epsilon)) if epsilon < 700.0 else 0.0
    return RandomizedResponseDpEvent(noise, 2) if noise > 0.0 else None


def _for_rdp(event: Event, relation: str) -> Any | None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, ZCDpEvent

    if event.kind in PURE_KINDS:
        response = _randomized_response(event.ratio) if event.ratio >= _LEAST_RESPONSE else None
        return response or ZCDpEvent(event.ratio**2 / 2.0)
    if event.kind == "discrete-gaussian":
        return ZCDpEvent(event.ratio**2 / 2.0)
    if event.kind == "skellam":
        return ZCDpEvent(
            event.ratio**2 / 2.0, 1.5 * (event.l1_sensitivity / event.sigma) / event.sigma
        )
    inner = GaussianDpEvent(1.0 / event.ratio)
    if event.sampling_probability == 1.0:
        return inner
    if relation == "replace-one":
        return None
    return PoissonSampledDpEvent(event.sampling_probability, inner)
