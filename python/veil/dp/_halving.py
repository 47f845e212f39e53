"""The tree of a recursive halving: which quantile splits which part, with how much noise.

All of it follows from public parameters. docs/design/quantiles.md proves the reach of each step and
the bound on the ranks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from veil.dp._query import Noise, distance
from veil.dp.choice import flip_slack

__all__ = ["Step", "Tree", "halving"]

# Shares of a part are multiples of 2^-40: they move a target by less than 2^-9 of 2^31 rows.
_SHARES = 1 << 40
_FINEST = 10
_SHARE_ERROR = 2.0**-9
# Of the 5 % of releases that may be farther off than stated, half go to the choices.
_MISS = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """One quantile: its share of its part, and the noise that finds it and cuts there.

    `rate` and `cut` are per unit; `cut` is None where no quantile is left to find on either side.
    """

    share: int
    rate: float
    cut: Noise | None


@dataclass(frozen=True, slots=True)
class Tree:
    """Steps by quantile, ranks that all are within at 95 %, the widest reach, and the slack.

    Ranks are counted in units of 1 / `units`.
    """

    steps: dict[float, Step]
    units: int
    error: float
    reach: float
    slack: float

    @property
    def scale(self) -> float:
        """How many ranks one unit of the exponent is, where the choice is least sure."""
        return 1.0 / (self.units * min(step.rate for step in self.steps.values()))

    def target(self, step: Step, rows: int) -> int:
        """Return the rank of a quantile among the rows of its part, in units."""
        return (2 * step.share * self.units * rows + _SHARES) // (2 * _SHARES)

    def whole(self, rank: int) -> int:
        """Return the whole rank nearest to one in units."""
        return (2 * rank + self.units) // (2 * self.units)


@dataclass(frozen=True, slots=True)
class _Node:
    quantile: float
    low: float
    high: float
    level: int
    leaf: bool


def middle_of(wanted: Sequence[float]) -> int:
    """Return the index of the quantile that splits the others."""
    return len(wanted) // 2


def _nodes(wanted: Sequence[float], low: float, high: float, level: int = 0) -> Iterator[_Node]:
    """Yield the nodes of ascending quantiles between two found ones, parents first."""
    if not wanted:
        return
    middle = middle_of(wanted)
    yield _Node(wanted[middle], low, high, level, len(wanted) == 1)
    yield from _nodes(wanted[:middle], low, wanted[middle], level + 1)
    yield from _nodes(wanted[middle + 1 :], wanted[middle], high, level + 1)


def halving(
    wanted: Sequence[float], *, points: int, epsilon: float, most: int, relation: str
) -> Tree:
    """Return the tree of ascending, distinct quantiles.

    Parameters
    ----------
    wanted : sequence of float
        Quantiles in (0, 1).
    points : int
        Number of candidates.
    epsilon : float
        Of one level.
    most : int
        Most rows of a patient.
    relation : str
        The ledger's.
    """
    nodes = list(_nodes(wanted, 0.0, 1.0))
    cuts = sum(not node.leaf for node in nodes)
    levels = 1 + max(node.level for node in nodes)
    # Parts of one level share nothing but the points that they meet at.
    candidates = levels * (points - 1) + len(nodes)
    choices = math.log(candidates / (_MISS / 2.0 if cuts else _MISS))
    draws = math.log(cuts / (_MISS / 2.0)) if cuts else 0.0
    # The share of a level's epsilon at which a choice and a cut are off by as much, at 95 %.
    of_cut = epsilon * draws / (draws + 2.0 * choices)
    units = _units(of_cut if cuts else epsilon, most)

    shares = {n: _share_of(n) for n in nodes}
    reaches = {n: _reach(shares[n], units, most, relation, n.level) for n in nodes}
    split = [n for n in nodes if not n.leaf]
    # One noise per level: each scale is a table to build.
    noises = {
        level: Noise.laplace(max(reaches[n] for n in split if n.level == level) / of_cut)
        for level in {n.level for n in split}
    }
    steps = {}
    errors: dict[float, float] = {}
    drift = {0.0: 0.0, 1.0: 0.0}  # by how many ranks each cut misses its quantile
    for n in nodes:
        cut = None if n.leaf else noises[n.level]
        of_choice = epsilon if cut is None else epsilon - of_cut
        step = Step(shares[n], of_choice / (2.0 * reaches[n]), cut)
        share = shares[n] / _SHARES
        aim = (1.0 - share) * drift[n.low] + share * drift[n.high] + _SHARE_ERROR + 0.5 / units
        off = choices / (step.rate * units)
        steps[n.quantile], errors[n.quantile] = step, aim + off
        if cut is not None:
            tail = draws + math.log(2.0 / (1.0 + math.exp(-1.0 / cut.scale)))
            drift[n.quantile] = aim + max(off, cut.scale * tail / units + 0.5)
    slack = flip_slack(candidates)
    slack += math.fsum(noises[n.level].distribution.tv_bound for n in split)
    return Tree(steps, units, max(errors.values()), max(reaches.values()) / units, slack)


def _units(epsilon: float, most: int) -> int:
    """Return into how many units a rank is divided: what keeps the noise in range, at most 2^10."""
    room = 2.0**31 * epsilon / most
    if room < 1.0:
        raise ValueError(
            f"epsilon: expected noise of at most 2^32 ranks, got {2.0 * most / epsilon:g}; use "
            "another epsilon"
        )
    return 1 << math.floor(min(_FINEST, math.log2(room)))


def _share_of(node: _Node) -> int:
    low, high = Fraction(node.low), Fraction(node.high)
    share = (Fraction(node.quantile) - low) / (high - low)
    return min(max(round(share * _SHARES), 1), _SHARES - 1)


def _reach(share: int, units: int, most: int, relation: str, level: int) -> int:
    """Return how far the rows of one patient move ranks less the target, in units."""
    if level == 0 and relation == "replace-one":
        return most * units
    # A row below moves the rank by 1 and the target by its share, a row above the target alone.
    moved = share * units
    one = max(-(-moved // _SHARES), units - moved // _SHARES)
    # Below the first level the patient that goes and the one that comes may be in two parts.
    return most * one * int(distance(relation, one=1, two=2))
