"""Quantiles by recursive halving, each by permute-and-flip over points of a lattice.

Kaplan, Schnapp and Stemmer 2022, Differentially private approximate quantiles, arXiv 2110.05429:
the middle quantile splits the rows, and each half is asked for its own; every row is in one part
per level, so m quantiles cost log2(m + 1) compositions instead of m. Its single-quantile step, the
exponential mechanism on ranks, is replaced by permute-and-flip, which is never worse (arXiv
2010.12603), over fixed points, so that nothing about the data enters its sampling but integer
ranks. Rows that tie at a split are shared out between both halves by a noisy number of them.
One pass over the data counts rows per point. Proofs: docs/design/quantiles.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veil._checks import real
from veil.dp._columns import kept_rows, numbers
from veil.dp._counting import count_equal
from veil.dp._halving import Tree, halving, middle_of
from veil.dp._query import Budget, Noise, answer, check_bounds, check_spacing, prepared
from veil.dp.choice import permute_and_flip
from veil.dp.events import Event, check_positive
from veil.dp.release import Release

if TYPE_CHECKING:
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["quantiles"]

_DEFAULT_POINTS = 1 << 18
_MOST_POINTS = 1 << 24
_PUBLIC = ("bounds and step", "which quantiles", "epsilon and delta", "rows per patient")


def quantiles(
    values: Any,
    *,
    bounds: tuple[float, float],
    epsilon: float,
    delta: float,
    patient_ids: Any,
    ledger: "Ledger",
    q: Sequence[float] | float = (0.25, 0.5, 0.75),
    step: float | None = None,
    max_rows_per_patient: int | None = None,
    rng: "SecureGenerator | None" = None,
    label: str = "quantiles",
) -> Release:
    """Return quantiles of a column.

    Parameters
    ----------
    values : column of numbers, shape (n_rows,)
        List, NumPy array, pandas or polars Series.
    bounds : (low, high)
        Public; values outside are clamped.
    epsilon : float
        Of this query, above 0.
    delta : float
        Not used: every step is pure. 0 says so.
    patient_ids : column or None
        Who each row belongs to: integers, text, bytes or dates, all of one kind and none missing.
        None says that each row is its own patient.
    ledger : Ledger
        Is charged before any random number is drawn.
    q : float or sequence of float in (0, 1)
        Which quantiles.
    step : float, optional
        Distance of the points that values are rounded to, for example 1 for whole years; by
        default the width of the bounds over 2^18.
    max_rows_per_patient : int, optional
        Needed with `patient_ids`: later rows of a patient are left out.
    rng : SecureGenerator, optional
        By default a new one, seeded by the operating system.
    label : str
        Label of the charge.

    Returns
    -------
    Release
        Points ``low + i step`` in the order of `q`, never decreasing in q. With probability 95 %,
        for all of them together: of the n rows that count, rounded to points, at most
        ``q n + error`` lie below the answer for q and at least ``q n - error`` at or below it.

    Raises
    ------
    BudgetExceeded
        If the ledger refuses; nothing is drawn.
    DataError
        If the column is empty or holds missing, masked or infinite entries, or `patient_ids` has
        another length or a missing or ambiguous id; nothing is charged.
    TypeError, ValueError
        If an argument is wrong; nothing is charged.

    Notes
    -----
    One pass over the values and, per level, one draw of 64 bits per point.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=2.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> released = veil.dp.quantiles(np.arange(1000) % 100, bounds=(0, 100), step=1, q=0.5,
    ...                              epsilon=1.0, delta=0.0, patient_ids=None, ledger=ledger)
    >>> abs(released.value - 50.0) < 20
    True
    """
    source = prepared(ledger, rng)
    budget = Budget.checked(epsilon, delta)
    low, high = check_bounds(bounds)
    column = numbers("values", values, finite=False)
    rows, most = kept_rows(patient_ids, column.size, max_rows_per_patient)
    if rows is not None:
        column = column[rows]
    design = design_of(budget, bounds, most, ledger.relation, q, step)
    spacing, top, tree = design.spacing, design.top, design.tree
    ends = low - spacing / 2.0, low + top * spacing + spacing / 2.0
    cells = count_equal("values", column, *ends, top + 1, clamp=True)
    ledger.charge(design.event, slack=tree.slack, label=label)
    search = _Search(cells, tree, source)
    search.run(sorted(tree.steps), 0, top, 0, column.size)
    found = np.array([low + search.found[w] * spacing for w in design.wanted])
    np.clip(found, low, high, out=found)
    return answer(
        value=float(found[0]) if np.ndim(q) == 0 else found,
        mechanism="recursive quantiles by permute-and-flip",
        granularity=spacing,
        sensitivity=tree.reach,
        sigma=tree.scale,
        event=design.event,
        slack=tree.slack,
        ledger=ledger,
        rng=source,
        error=tree.error,
        public=_PUBLIC,
        labels=tuple(design.wanted),
    )


@dataclass(frozen=True, slots=True)
class Design:
    """What public parameters fix: the points, the steps of the search, and the event."""

    wanted: list[float]
    spacing: float
    top: int
    tree: Tree
    event: Event


def design_of(
    budget: Budget,
    bounds: tuple[float, float],
    most: int,
    relation: str,
    q: Sequence[float] | float,
    step: float | None,
) -> Design:
    """Design the quantiles of rows of which one unit has at most `most`."""
    wanted = _wanted(q)
    spacing, top = _points(*check_bounds(bounds), step)
    distinct = sorted(set(wanted))
    levels = len(distinct).bit_length()
    event = Event.pure(epsilon=budget.epsilon / levels, count=levels)
    tree = halving(distinct, points=top + 1, epsilon=event.ratio, most=most, relation=relation)
    return Design(wanted, spacing, top, tree, event)


def _wanted(q: Sequence[float] | float) -> list[float]:
    given = np.atleast_1d(np.asarray(q, object))
    if given.ndim != 1:
        raise ValueError("q: expected one dimension")
    wanted = [real("q", value) for value in given]
    if not wanted or not all(0.0 < value < 1.0 for value in wanted):
        raise ValueError(f"q: expected numbers in (0, 1), got {q!r}")
    return wanted


def _points(low: float, high: float, step: float | None) -> tuple[float, int]:
    """Return the distance of points and the index of the last."""
    if step is None:
        spacing, top = (high - low) / _DEFAULT_POINTS, _DEFAULT_POINTS
    else:
        spacing = check_positive("step", step)
        steps = (high - low) / spacing
        if not 1.0 <= steps < _MOST_POINTS + 1:
            raise ValueError(f"step: expected 1 to 2^24 steps between the bounds, got {steps:g}")
        top = math.floor(steps)
    check_spacing(low, high, spacing)
    return spacing, top


class _Search:
    """Recursive halving over rows per point; `found` maps each quantile to its point.

    A part is a run of points, and the rows of ranks below + 1 .. upto among all sorted rows. Of the
    rows at a point where two parts meet, each has its own.
    """

    def __init__(self, cells: npt.NDArray[np.int64], tree: Tree, rng: "SecureGenerator") -> None:
        # Entry i: the rows below point i, and so up to point i - 1, in units.
        self._ranks = np.concatenate(([0], np.cumsum(cells))) * tree.units
        self._tree = tree
        self._rng = rng
        self.found: dict[float, int] = {}

    def run(self, wanted: list[float], first: int, last: int, below: int, upto: int) -> None:
        """Find the ascending `wanted` among the points first .. last of a part."""
        if first == last:
            # One point is left, and nothing to spend on.
            self.found.update(dict.fromkeys(wanted, first))
            return
        if not wanted:
            return
        middle = middle_of(wanted)
        step = self._tree.steps[wanted[middle]]
        target = self._tree.target(step, upto - below)
        point = self._choose(first, last, below, upto, target, step.rate)
        self.found[wanted[middle]] = point
        if step.cut is None:
            return
        least = max(int(self._ranks[point]) // self._tree.units, below)
        most = min(int(self._ranks[point + 1]) // self._tree.units, upto)
        cut = self._cut(least, most, target + below * self._tree.units, step.cut)
        self.run(wanted[:middle], first, point, below, cut)
        self.run(wanted[middle + 1 :], point, last, cut, upto)

    def _choose(
        self, first: int, last: int, below: int, upto: int, target: int, rate: float
    ) -> int:
        """Return a point whose rank among the part's rows is near the target."""
        aim = below * self._tree.units + target
        # Rows below the point and up to it bracket its rank: 0 if the target is between them.
        gaps = self._ranks[first : last + 1] - aim
        short = aim - self._ranks[first + 1 : last + 2]
        # At both ends, other parts may have rows at the point.
        gaps[0], short[-1] = -target, aim - upto * self._tree.units
        np.maximum(gaps, short, out=gaps)
        np.maximum(gaps, 0, out=gaps)
        return first + permute_and_flip(np.negative(gaps, out=gaps), rate, self._rng)

    def _cut(self, least: int, most: int, aim: int, noise: Noise) -> int:
        """Return at which rank to part the rows: of those that tie, a noisy number go below.

        The number does not depend on how many there are: a row more is one more on one side.
        """
        ties = noise.add([aim - least * self._tree.units], self._rng)
        return least + min(max(self._tree.whole(int(ties[0])), 0), most - least)
