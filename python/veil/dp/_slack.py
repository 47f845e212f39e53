"""What a sampler's distance from its event costs in delta (docs/design/accounting.md).

If one run's output is within total-variation distance s of what its event says, for each of two
neighbours, then delta grows by s (1 + e^epsilon) with epsilon that of the whole composition, or by
s + (e^e s + d) with (e, d) that the run's own event satisfies: one run spends little even where all
of them spend much. Either may be taken for each run, and the sum holds along every adaptive path.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from veil.dp._gaussian import gaussian_epsilon
from veil.dp._lattice import SLACK_SHARE
from veil.dp._renyi import renyi_epsilon
from veil.dp._translate import PURE_KINDS
from veil.dp.events import Event

__all__ = ["cost_at", "cost_of_run", "cost_of_runs", "leaving_slack"]

Made = TypeVar("Made")
# Shares of delta that a calibration leaves to slack, one after the other.
_SHARES = (SLACK_SHARE, 1e-4, 1e-2)


def cost_at(slack: float, epsilon: float) -> float:
    """Return slack (1 + e^epsilon): with epsilon of all runs together."""
    return slack * (1.0 + math.exp(epsilon)) if epsilon < 700.0 else math.inf


@lru_cache(maxsize=4096)
def cost_of_run(event: Event, slack: float, relation: str) -> float:
    """Return the cost of one run of an event, by what that run itself spends."""
    if slack == 0.0:
        return 0.0
    return cost_at(slack, _own_epsilon(event, slack, relation)) + slack


def cost_of_runs(events: Iterable[Event], slack: float, relation: str) -> float:
    """Return the cost of the slack of all runs, however it is spread over them."""
    given = tuple(events)
    runs = sum(event.count for event in given)
    share = slack / runs
    if share == 0.0:
        return math.inf
    return cost_at(slack, max(_own_epsilon(event, share, relation) for event in given)) + slack


def _own_epsilon(event: Event, delta: float, relation: str) -> float:
    if event.kind in PURE_KINDS:
        return event.ratio
    if event.kind == "gaussian":
        # Sampled, it is no less private: the hockey-stick divergence is jointly convex.
        return gaussian_epsilon(event.ratio, delta)
    return renyi_epsilon((replace(event, count=1),), delta, relation)


def leaving_slack(
    made: Callable[[float], Made], spent: Callable[[Made], float], epsilon: float, delta: float
) -> Made:
    """Return a mechanism made for slightly less than delta, whose slack fits in what is left.

    Raises
    ------
    ValueError
        If its slack needs more than a hundredth of delta.
    """
    for share in _SHARES:
        mechanism = made(delta * (1.0 - share))
        if spent(mechanism) <= epsilon:
            return mechanism
    raise ValueError(
        f"epsilon, delta: the samplers are not exact enough for epsilon = {epsilon:g} at delta = "
        f"{delta:g}: their slack takes more than a hundredth of it; ask for a larger delta or a "
        "smaller epsilon"
    )
