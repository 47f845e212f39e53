"""Quantiles by recursive halving, each by permute-and-flip over points of a lattice.

Kaplan, Schnapp and Stemmer 2022, Differentially private approximate quantiles, arXiv 2110.05429:
the middle quantile splits the rows, and each half is asked for its own; every row is in one part
per level, so m quantiles cost log2(m + 1) compositions instead of m. Its single-quantile step, the
exponential mechanism on ranks, is replaced by permute-and-flip, which is never worse (arXiv
2010.12603), over fixed points, so that nothing about the data enters its sampling but integer
ranks. One pass over the data counts rows per point.

Rows of one value may belong to both halves: a part is a range of ranks, and a noisy rank says where
the rows of the point that was found are parted. docs/design/quantiles.md has the proofs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veil.dp._columns import kept_rows, numbers
from veil.dp._counting import count_equal
from veil.dp._query import Budget, answer, check_bounds, distance, in_range, prepared
from veil.dp._samplers import discrete_laplace
from veil.dp.choice import flip_slack, permute_and_flip
from veil.dp.events import Event, check_positive
from veil.dp.release import Release

if TYPE_CHECKING:
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["quantiles"]

_DEFAULT_POINTS = 1 << 18
_MOST_POINTS = 1 << 24
# Of a level's epsilon where a part is parted: what the noisy rank takes.
_SPLIT_SHARE = 1.0 / 6.0
_LEAST_SCALE = 0.05  # noise is never narrower, however large epsilon is
# Probabilities that a choice, and that a split, is farther off than `error` says: 5 % together.
_CHOICE_FAILS, _SPLIT_FAILS = 0.04, 0.01
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
        Points ``low + i step`` in the order of `q`, never decreasing in q. With probability 95 %
        for all of them together, after the values are rounded to points, at most
        ``q n + error`` rows lie below each and at least ``q n - error`` at or below it, whatever
        the ties.

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
    spacing, top = design.spacing, design.top
    ends = low - spacing / 2.0, low + top * spacing + spacing / 2.0
    cells = count_equal("values", column, *ends, top + 1, clamp=True)
    ledger.charge(design.event, slack=design.slack, label=label)
    search = _Search(np.concatenate(([0], np.cumsum(cells))), design, source)
    search.run(sorted(set(design.wanted)), 0, top, 0.0, 1.0, 0, column.size)
    found = np.array([low + search.found[w] * spacing for w in design.wanted])
    np.clip(found, low, high, out=found)
    return answer(
        value=float(found[0]) if np.ndim(q) == 0 else found,
        mechanism="recursive quantiles by permute-and-flip",
        granularity=spacing,
        sensitivity=float(design.reach),
        sigma=1.0 / design.rate,
        event=design.event,
        slack=design.slack,
        ledger=ledger,
        rng=source,
        error=design.error,
        public=_PUBLIC,
        labels=tuple(design.wanted),
    )


@dataclass(frozen=True, slots=True)
class Design:
    """What public parameters fix: the points, the rates of the draws, the event and its slack.

    `rate` is that of a part which is asked for one quantile; of one that is parted, `split_rate` is
    that of its coins and `split` draws the noise of its rank, or is None where no part is.
    """

    wanted: list[float]
    spacing: float
    top: int
    reach: int
    rate: float
    split_rate: float
    split: Any
    event: Event

    @property
    def _different(self) -> int:
        return len(set(self.wanted))

    @property
    def slack(self) -> float:
        """Slack of all draws."""
        coins = flip_slack(self.event.count * (self.top + 1))
        return coins if self.split is None else coins + self._different * self.split.tv_bound

    @property
    def error(self) -> float:
        """By how many ranks each quantile is off at most, with probability 95 % for all."""
        candidates = (self.top + 1) * self._different
        if self.split is None:
            return math.log(candidates / (_CHOICE_FAILS + _SPLIT_FAILS)) / self.rate + 0.5
        # Every part above the last hands on where it was parted; targets are rounded to ranks.
        choices = math.log(candidates / _CHOICE_FAILS)
        parted = self.split.scale * math.log(2.0 * self._different / _SPLIT_FAILS)
        above = max(choices / self.split_rate, parted) + 0.5
        return float((self.event.count - 1) * above + choices / self.rate + 0.5)


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
    levels = len(set(wanted)).bit_length()
    event = Event.pure(epsilon=budget.epsilon / levels, count=levels)
    # A replaced row leaves one part and enters another; with one level there is one part.
    reach = most * (1 if levels == 1 else int(distance(relation, one=1, two=2)))
    rate = event.ratio / (2.0 * reach)
    split = None
    if levels > 1:
        scale = reach / (_SPLIT_SHARE * event.ratio)
        split = discrete_laplace(in_range(max(scale, _LEAST_SCALE)))
    return Design(wanted, spacing, top, reach, rate, (1.0 - _SPLIT_SHARE) * rate, split, event)


def _wanted(q: Sequence[float] | float) -> list[float]:
    wanted = [float(value) for value in np.atleast_1d(q)]
    if not wanted or not all(0.0 < value < 1.0 for value in wanted):
        raise ValueError(f"q: expected numbers in (0, 1), got {q!r}")
    return wanted


def _points(low: float, high: float, step: float | None) -> tuple[float, int]:
    """Return the distance of points and the index of the last."""
    if step is None:
        return (high - low) / _DEFAULT_POINTS, _DEFAULT_POINTS
    spacing = check_positive("step", step)
    top = math.floor((high - low) / spacing)
    if not 1 <= top <= _MOST_POINTS:
        raise ValueError(
            f"step: expected 1 to 2^24 steps between the bounds, got {(high - low) / spacing:g}"
        )
    return spacing, top


class _Search:
    """Recursive halving over cumulated counts; `found` maps each quantile to its point."""

    def __init__(
        self, cumulated: npt.NDArray[np.int64], design: Design, rng: "SecureGenerator"
    ) -> None:
        self._cumulated = cumulated
        self._design = design
        self._rng = rng
        self.found: dict[float, int] = {}

    def run(
        self,
        wanted: list[float],
        first: int,
        last: int,
        low: float,
        high: float,
        begin: int,
        end: int,
    ) -> None:
        """Find `wanted`, in (low, high) of all rows, among the points first .. last.

        The part's rows are those of the ranks begin .. end - 1 in ascending order.
        """
        if not wanted:
            return
        middle = len(wanted) // 2
        share = (wanted[middle] - low) / (high - low)
        target = begin + math.floor(share * (end - begin) + 0.5)
        ranks = np.clip(self._cumulated[first : last + 2], begin, end)
        parted = len(wanted) > 1
        at = _choose(ranks, target, self._rate(parted), self._rng)
        point = self.found[wanted[middle]] = first + at
        if not parted:
            return
        noisy = target + int(self._design.split.sample(1, self._rng)[0])
        split = min(max(noisy, int(ranks[at])), int(ranks[at + 1]))
        self.run(wanted[:middle], first, point, low, wanted[middle], begin, split)
        self.run(wanted[middle + 1 :], point, last, wanted[middle], high, split, end)

    def _rate(self, parted: bool) -> float:
        return self._design.split_rate if parted else self._design.rate


def _choose(ranks: npt.NDArray[np.int64], target: int, rate: float, rng: "SecureGenerator") -> int:
    """Return the index of a point whose rows' ranks are near `target`.

    Rows below a point and up to it bracket its rank: the score is 0 if the target is between them.
    """
    scores = -np.maximum(np.maximum(ranks[:-1] - target, target - ranks[1:]), 0)
    return permute_and_flip(scores, rate, rng)
