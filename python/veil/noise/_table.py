"""Alias tables with 128-bit thresholds, and how far a finished table is from its distribution.

Walker (1977) and Vose (1991), in integers: docs/design/noise.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from veil import _core
from veil.noise._fixed import ONE, PRECISION

__all__ = ["LIMIT", "Table", "alias_columns", "build", "column_masses", "distance", "round_masses"]

BITS = 128  # of a threshold, and of the masses
LIMIT = 1 << BITS


class Table(NamedTuple):
    """A finished table of magnitudes.

    Attributes
    ----------
    native : AliasTable
        What the sampler reads.
    variance : Fraction
        Exact variance of the signed draw.
    distance : Fraction
        Upper bound of its total-variation distance to the distribution it was built for.
    """

    native: _core.AliasTable
    variance: Fraction
    distance: Fraction


@lru_cache(maxsize=64)
def build(masses: Callable[..., list[int]], *parameters: Fraction | int) -> Table:
    """Build the table of ``masses(*parameters)``, once per process."""
    bounds = masses(*parameters)
    thresholds, aliases = alias_columns(round_masses(bounds))
    finished = column_masses(thresholds, aliases)
    second_moment = sum(m * m * mass for m, mass in enumerate(finished))
    return Table(
        _core.AliasTable(
            np.array([t >> 64 for t in thresholds], np.uint64),
            np.array([t & ((1 << 64) - 1) for t in thresholds], np.uint64),
            np.array(aliases, np.uint16),
        ),
        Fraction(second_moment, LIMIT * len(aliases)),
        distance(finished, bounds),
    )


def round_masses(bounds: list[int]) -> list[int]:
    """Round to units of 2^-128 that sum to 1: the largest mass takes what is left."""
    masses = [bound >> PRECISION - BITS for bound in bounds]
    masses[masses.index(max(masses))] += LIMIT - sum(masses)
    return masses


def alias_columns(masses: list[int]) -> tuple[list[int], list[int]]:
    """Vose's method: thresholds of 128 bits and aliases of a power of two of columns.

    Column c yields c with probability threshold / 2^128. A column that always yields itself has
    itself as its alias, so that its threshold need not hold 2^128.
    """
    columns = 1 << (len(masses) - 1).bit_length()
    left = [mass * columns for mass in masses] + [0] * (columns - len(masses))
    thresholds, aliases = [LIMIT - 1] * columns, list(range(columns))
    small = [c for c, mass in enumerate(left) if mass < LIMIT]
    large = [c for c, mass in enumerate(left) if mass >= LIMIT]
    while small:
        needy = small.pop()
        giver = large[-1]
        thresholds[needy], aliases[needy] = left[needy], giver
        left[giver] -= LIMIT - left[needy]
        if left[giver] < LIMIT:
            small.append(large.pop())
    return thresholds, aliases


def column_masses(thresholds: list[int], aliases: list[int]) -> list[int]:
    """Add up what a table yields for each column, in units of 2^-128 / columns."""
    masses = [0] * len(aliases)
    for column, (threshold, alias) in enumerate(zip(thresholds, aliases, strict=True)):
        masses[column] += threshold
        masses[alias] += LIMIT - threshold
    return masses


def distance(finished: list[int], bounds: list[int]) -> Fraction:
    """Bound the total-variation distance of a finished table t from the distribution p.

    With b <= p: sum |t - p| <= sum |t - b| + sum (p - b), and the last sum is 1 - sum b.
    """
    unit = (1 << PRECISION - BITS) // len(finished)
    apart = sum(abs(mass * unit - bound) for mass, bound in zip(finished, bounds, strict=False))
    apart += unit * sum(finished[len(bounds) :])
    return Fraction(apart + ONE - sum(bounds), 2 * ONE)
