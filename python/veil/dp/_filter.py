"""Who may still be charged: a Renyi filter for adaptive use, a PLD of the whole plan otherwise.

A filter must bound the loss of a sequence whose next event depends on earlier answers. Summing
Renyi divergences at one order that was fixed before the first charge does (Feldman and Zrnic 2021,
arXiv 2008.11193, Theorem 4.3); a privacy loss distribution does not (arXiv 2602.06756).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from veil.dp._renyi import renyi_values
from veil.dp._slack import cost_at, cost_of_run
from veil.dp._translate import refusal
from veil.dp.events import Event
from veil.errors import UnsupportedEvent

__all__ = ["Filter", "best_order", "filter_budget"]

# Slack may take this share of delta; the filter's conversion gets what is left.
_SLACK_SHARE = 0.01
# Up to here the slack of every sampler is paid easily at the whole epsilon, which is cheap to tell.
_LARGE_EPSILON = 20.0


def filter_budget(order: float, epsilon: float, delta: float) -> float:
    """Return the divergence at `order` that converts to (epsilon, delta); not above 0 if none.

    Canonne, Kamath and Steinke 2020, arXiv 2004.00010, Proposition 12.
    """
    return epsilon - math.log1p(-1.0 / order) + math.log(delta * order) / (order - 1.0)


@lru_cache(maxsize=256)
def best_order(epsilon: float, delta: float) -> float:
    """Return the order that admits most Gaussian events: it maximises the budget per order."""
    small = [1.0 + x / 10.0 for x in range(1, 100)]
    large = [float(math.ceil(11 * 1.1**x)) for x in range(140)]
    return max((*small, *large), key=lambda order: filter_budget(order, epsilon, delta) / order)


@dataclass(frozen=True, slots=True)
class Filter:
    """The Renyi filter of an adaptive ledger: one order, one budget, both fixed when it opens."""

    epsilon: float
    delta: float
    additive_delta: float
    relation: str
    order: float

    @property
    def conversion_delta(self) -> float:
        """The part of delta that the conversion from Renyi divergence uses."""
        return self.delta * (1.0 - _SLACK_SHARE) - self.additive_delta

    @property
    def budget(self) -> float:
        """Most divergence at the order."""
        return filter_budget(self.order, self.epsilon, self.conversion_delta)

    @property
    def slack_budget(self) -> float:
        """Most that slack may cost in all: a hundredth of delta."""
        return self.delta * _SLACK_SHARE

    def slack_cost(self, event: Event, slack: float) -> float:
        """Return what the slack of one run costs of delta.

        Of a large epsilon a single run spends a little, and its slack costs by that.
        """
        if slack == 0.0:
            return 0.0
        together = cost_at(slack, self.epsilon)
        if self.epsilon <= _LARGE_EPSILON:
            return together
        return min(together, cost_of_run(event.one, slack, self.relation))

    def cost(self, event: Event) -> float:
        """Return the divergence of one run of an event.

        Raises
        ------
        UnsupportedEvent
            If RDP has no finite figure for it under the relation.
        """
        return _cost(event.one, self.order, self.relation)

    def epsilon_of(self, divergence: float) -> float:
        """Return the epsilon that a divergence converts to at the filter's delta."""
        if divergence == 0.0:
            return 0.0
        return max(0.0, divergence - filter_budget(self.order, 0.0, self.conversion_delta))


@lru_cache(maxsize=4096)
def _cost(event: Event, order: float, relation: str) -> float:
    reason = refusal(event, relation)
    if reason is not None:
        raise UnsupportedEvent(reason)
    values = renyi_values((event,), (order,), relation)
    if values is None or not math.isfinite(float(values[0])):
        raise UnsupportedEvent(
            f"event: {event} has no Renyi divergence of order {order:g} under {relation}, which "
            "mode='adaptive' needs; use mode='planned', whose PLD knows it, or add-or-remove-one"
        )
    return float(values[0])
