"""Bounded count, sum, mean and variance of a column.

Values are clamped to public bounds and rounded to integer points before they are summed, in int64:
the guarantee holds for the data as given, with no floating-point argument.
"""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from veil import _arrays
from veil.dp._columns import kept_rows, numbers
from veil.dp._query import (
    Budget,
    Grid,
    Noise,
    answer,
    check_bounds,
    distance,
    joint_noise,
    noise_of_one,
    prepared,
)
from veil.dp.events import Event
from veil.dp.release import Release

if TYPE_CHECKING:
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["count", "mean", "sum", "variance"]

_PUBLIC = ("bounds", "epsilon and delta", "rows per patient")
# Shares of the budget for (sum, count) and (sum, squares, count): they minimise the error of the
# ratio for data spread evenly over the bounds.
_MEAN_SHARES = (0.634, 0.366)
_VARIANCE_SHARES = (0.3, 0.45, 0.25)
_VARIANCE_SHARES_ALONE = (0.4, 0.6)


@dataclass(frozen=True, slots=True)
class Design:
    """What public parameters fix: the grid, the noise of each sum, the event and its slack."""

    grid: Grid
    reach: int
    noises: list[Noise]
    event: Event

    @property
    def slack(self) -> float:
        """Slack of all draws."""
        return math.fsum(noise.distribution.tv_bound for noise in self.noises)


def count_design(budget: Budget, *, most: int) -> Design:
    """Design a count: one coordinate, in rows."""
    noises, event = joint_noise(budget, [most], [1.0])
    return Design(Grid(-1.0, 1.0, 1.0, 1), most, noises, event)


def sum_design(
    budget: Budget,
    bounds: tuple[float, float],
    *,
    most: int,
    relation: str,
    rows_public: bool,
) -> Design:
    """Design a sum: a grid around 0, not around the middle, since the count is private."""
    low, high = check_bounds(bounds)
    largest = max(abs(low), abs(high))
    # A replaced unit may bring another number of rows, 0 to `most`: m high - 0, or 0 - m low.
    replaced = high - low if rows_public else max(high, 0.0) - min(low, 0.0)
    width = distance(relation, one=largest, two=replaced)
    grid = Grid.of(-largest, largest, noise_of_one(budget) * most * width / largest)
    reach = most * (math.ceil(width / grid.granularity) + 1)
    noises, event = joint_noise(budget, [reach], [1.0])
    return Design(grid, reach, noises, event)


def mean_design(
    budget: Budget, bounds: tuple[float, float], *, most: int, relation: str, rows_public: bool
) -> Design:
    """Design a mean: deviations from the middle, and the count unless it is public."""
    shares = (1.0,) if rows_public else _MEAN_SHARES
    return _centered_design(budget, bounds, most, relation, shares, squares=False)


def variance_design(
    budget: Budget, bounds: tuple[float, float], *, most: int, relation: str, rows_public: bool
) -> Design:
    """Design a variance: deviations, their squares, and the count unless it is public."""
    shares = _VARIANCE_SHARES_ALONE if rows_public else _VARIANCE_SHARES
    return _centered_design(budget, bounds, most, relation, shares, squares=True)


def _centered_design(
    budget: Budget,
    bounds: tuple[float, float],
    most: int,
    relation: str,
    shares: tuple[float, ...],
    *,
    squares: bool,
) -> Design:
    low, high = check_bounds(bounds)
    noise_per_top = 2.0 * noise_of_one(budget) * most / min(shares)
    grid = Grid.of(low, high, noise_per_top, powers=2 if squares else 1)
    reach = most * int(distance(relation, one=grid.top, two=2 * grid.top))
    # Squares are points of 0 .. top, in units of g^2 top.
    sensitivities = [reach, *([most * grid.top] if squares else []), most][: len(shares)]
    noises, event = joint_noise(budget, sensitivities, shares)
    return Design(grid, reach, noises, event)


def rows_are_public(relation: str, patient_ids: Any) -> bool:
    """Tell whether the number of rows is public: neighbours have as many, row for row."""
    return relation == "replace-one" and patient_ids is None


def count(
    values: Any,
    *,
    bounds: tuple[float, float] | None,
    epsilon: float,
    delta: float,
    patient_ids: Any,
    ledger: "Ledger",
    max_rows_per_patient: int | None = None,
    rng: "SecureGenerator | None" = None,
    label: str = "count",
) -> Release:
    """Count rows, or the rows whose value lies within bounds.

    Parameters
    ----------
    values : column of numbers, shape (n_rows,)
        NumPy array, pandas or polars Series; with ``bounds=None`` of any type.
    bounds : (low, high) or None
        Count the rows with low <= value <= high; None counts all.
    epsilon : float
        Of this query, above 0.
    delta : float
        Of this query; 0 asks for Laplace noise, above 0 for Gaussian noise.
    patient_ids : column or None
        Who each row belongs to: integers, text, bytes or dates, all of one kind and none missing.
        None says that each row is its own patient.
    ledger : Ledger
        Is charged before any noise is drawn.
    max_rows_per_patient : int, optional
        Needed with `patient_ids`: later rows of a patient are left out.
    rng : SecureGenerator, optional
        By default a new one, seeded by the operating system.
    label : str
        Label of the charge.

    Returns
    -------
    Release
        A whole number, not clamped to 0; `error` is the 95 % half-width.

    Raises
    ------
    BudgetExceeded
        If the ledger refuses; nothing is drawn.
    DataError
        If the column is empty or holds missing, masked or infinite entries, or `patient_ids` has
        another length or a missing or ambiguous id; nothing is charged.
    TypeError, ValueError
        If an argument is wrong; nothing is charged.
    """
    source = prepared(ledger, rng)
    budget = Budget.checked(epsilon, delta)
    column = np.zeros(_length(values)) if bounds is None else numbers("values", values)
    rows, most = kept_rows(patient_ids, column.size, max_rows_per_patient)
    if rows is not None:
        column = column[rows]
    low, high = (-1.0, 1.0) if bounds is None else check_bounds(bounds)
    total = int(np.count_nonzero((column >= low) & (column <= high)))
    design = count_design(budget, most=most)
    ledger.charge(design.event, slack=design.slack, label=label)
    (noise,) = design.noises
    value = int(noise.add([total], source)[0])
    return _answer(value, noise.half_width(), noise.name, design, ledger, source)


def sum(
    values: Any,
    *,
    bounds: tuple[float, float],
    epsilon: float,
    delta: float,
    patient_ids: Any,
    ledger: "Ledger",
    max_rows_per_patient: int | None = None,
    rng: "SecureGenerator | None" = None,
    label: str = "sum",
) -> Release:
    """Sum a column of values clamped to bounds.

    The number of a patient's rows is private with `patient_ids`: under replace-one the noise then
    covers a patient with none whose place one with `max_rows_per_patient` takes.

    Parameters
    ----------
    values : column of numbers, shape (n_rows,)
        List, NumPy array, pandas or polars Series.
    bounds : (low, high)
        Public; values outside are clamped.
    epsilon : float
        Of this query, above 0.
    delta : float
        Of this query; 0 asks for Laplace noise, above 0 for Gaussian noise.
    patient_ids : column or None
        Who each row belongs to: integers, text, bytes or dates, all of one kind and none missing.
        None says that each row is its own patient.
    ledger : Ledger
        Is charged before any noise is drawn.
    max_rows_per_patient : int, optional
        Needed with `patient_ids`: later rows of a patient are left out.
    rng : SecureGenerator, optional
        By default a new one, seeded by the operating system.
    label : str
        Label of the charge.

    Returns
    -------
    Release
        A multiple of its granularity; `error` is the 95 % half-width.

    Raises
    ------
    BudgetExceeded
        If the ledger refuses; nothing is drawn.
    DataError
        If the column is empty or holds missing, masked or infinite entries, or `patient_ids` has
        another length or a missing or ambiguous id; nothing is charged.
    TypeError, ValueError
        If an argument is wrong; nothing is charged.
    """
    source = prepared(ledger, rng)
    budget = Budget.checked(epsilon, delta)
    low, high = check_bounds(bounds)
    column, most = _bounded_column(values, patient_ids, max_rows_per_patient)
    public = rows_are_public(ledger.relation, patient_ids)
    design = sum_design(budget, bounds, most=most, relation=ledger.relation, rows_public=public)
    ledger.charge(design.event, slack=design.slack, label=label)
    (noise,) = design.noises
    total = int(noise.add(design.grid.sums(column, low, high, 1), source)[0])
    g = design.grid.granularity
    return _answer(total * g, noise.half_width() * g, noise.name, design, ledger, source)


def mean(
    values: Any,
    *,
    bounds: tuple[float, float],
    epsilon: float,
    delta: float,
    patient_ids: Any,
    ledger: "Ledger",
    max_rows_per_patient: int | None = None,
    rng: "SecureGenerator | None" = None,
    label: str = "mean",
) -> Release:
    """Average a column of values clamped to bounds.

    Releases the sum of deviations from the middle of the bounds and the count together, and
    divides. Under replace-one with each row its own patient the count is public and takes nothing.

    Parameters
    ----------
    values : column of numbers, shape (n_rows,)
        List, NumPy array, pandas or polars Series.
    bounds : (low, high)
        Public; values outside are clamped. The narrower, the less noise.
    epsilon : float
        Of this query, above 0.
    delta : float
        Of this query; 0 asks for Laplace noise, above 0 for Gaussian noise.
    patient_ids : column or None
        Who each row belongs to: integers, text, bytes or dates, all of one kind and none missing.
        None says that each row is its own patient.
    ledger : Ledger
        Is charged before any noise is drawn.
    max_rows_per_patient : int, optional
        Needed with `patient_ids`: later rows of a patient are left out.
    rng : SecureGenerator, optional
        By default a new one, seeded by the operating system.
    label : str
        Label of the charge.

    Returns
    -------
    Release
        Within the bounds; `error` is the 95 % half-width, by propagation from both draws.

    Raises
    ------
    BudgetExceeded
        If the ledger refuses; nothing is drawn.
    DataError
        If the column is empty or holds missing, masked or infinite entries, or `patient_ids` has
        another length or a missing or ambiguous id; nothing is charged.
    TypeError, ValueError
        If an argument is wrong; nothing is charged.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> ages = np.full(10_000, 61.0)
    >>> released = veil.dp.mean(ages, bounds=(0, 120), epsilon=0.5, delta=1e-9, patient_ids=None,
    ...                         ledger=ledger)
    >>> abs(released.value - 61.0) < 5.0
    True
    """
    source = prepared(ledger, rng)
    budget = Budget.checked(epsilon, delta)
    low, high = check_bounds(bounds)
    column, most = _bounded_column(values, patient_ids, max_rows_per_patient)
    public = rows_are_public(ledger.relation, patient_ids)
    design = mean_design(budget, bounds, most=most, relation=ledger.relation, rows_public=public)
    ledger.charge(design.event, slack=design.slack, label=label)
    (total,), rows, of_rows = _noisy(design, column, low, high, 1, source)
    g = design.grid.granularity
    deviation = g * total / rows
    return _answer(
        min(max(design.grid.middle + deviation, low), high),
        math.hypot(g * design.noises[0].half_width(), abs(deviation) * of_rows) / rows,
        f"mean of {design.noises[0].name} sum" + ("" if public else " and count"),
        design,
        ledger,
        source,
        rows_public=public,
    )


def variance(
    values: Any,
    *,
    bounds: tuple[float, float],
    epsilon: float,
    delta: float,
    patient_ids: Any,
    ledger: "Ledger",
    max_rows_per_patient: int | None = None,
    rng: "SecureGenerator | None" = None,
    label: str = "variance",
) -> Release:
    """Return the variance (divisor n) of a column of values clamped to bounds.

    Releases the sums of deviations from the middle, of their squares, and the count together.

    Parameters
    ----------
    values : column of numbers, shape (n_rows,)
        List, NumPy array, pandas or polars Series.
    bounds : (low, high)
        Public; values outside are clamped.
    epsilon : float
        Of this query, above 0.
    delta : float
        Of this query; 0 asks for Laplace noise, above 0 for Gaussian noise.
    patient_ids : column or None
        Who each row belongs to: integers, text, bytes or dates, all of one kind and none missing.
        None says that each row is its own patient.
    ledger : Ledger
        Is charged before any noise is drawn.
    max_rows_per_patient : int, optional
        Needed with `patient_ids`: later rows of a patient are left out.
    rng : SecureGenerator, optional
        By default a new one, seeded by the operating system.
    label : str
        Label of the charge.

    Returns
    -------
    Release
        Between 0 and a quarter of the squared width; `error` is the 95 % half-width, by
        propagation from the three draws.

    Raises
    ------
    BudgetExceeded
        If the ledger refuses; nothing is drawn.
    DataError
        If the column is empty or holds missing, masked or infinite entries, or `patient_ids` has
        another length or a missing or ambiguous id; nothing is charged.
    TypeError, ValueError
        If an argument is wrong; nothing is charged.
    """
    source = prepared(ledger, rng)
    budget = Budget.checked(epsilon, delta)
    low, high = check_bounds(bounds)
    column, most = _bounded_column(values, patient_ids, max_rows_per_patient)
    public = rows_are_public(ledger.relation, patient_ids)
    design = variance_design(
        budget, bounds, most=most, relation=ledger.relation, rows_public=public
    )
    ledger.charge(design.event, slack=design.slack, label=label)
    (total, squares), rows, of_rows = _noisy(design, column, low, high, 2, source)
    g = design.grid.granularity
    unit = g * g * design.grid.top
    half = (high - low) / 2.0
    center = min(max(g * total / rows, -half), half)
    square = min(max(unit * squares / rows, 0.0), half * half)
    errors = (
        2.0 * abs(center) * g * design.noises[0].half_width(),
        unit * design.noises[1].half_width(),
        abs(square - 2.0 * center * center) * of_rows,
    )
    return _answer(
        min(max(square - center * center, 0.0), half * half),
        math.hypot(*errors) / rows,
        f"variance of {design.noises[0].name} sums" + ("" if public else " and count"),
        design,
        ledger,
        source,
        rows_public=public,
    )


def _noisy(
    design: Design, column: Any, low: float, high: float, powers: int, rng: "SecureGenerator"
) -> tuple[list[int], int, float]:
    """Return noisy sums, and the number of rows with its half-width: exact where it is public."""
    exact = [*design.grid.sums(column, low, high, powers), column.size][: len(design.noises)]
    noisy = [int(n.add([x], rng)[0]) for n, x in zip(design.noises, exact, strict=True)]
    if len(noisy) == powers:
        return noisy, column.size, 0.0
    return noisy[:powers], max(1, noisy[powers]), design.noises[powers].half_width()


def _answer(
    value: Any,
    error: float,
    mechanism: str,
    design: Design,
    ledger: "Ledger",
    rng: "SecureGenerator",
    *,
    rows_public: bool = False,
) -> Release:
    g = design.grid.granularity
    return answer(
        value=value,
        mechanism=mechanism,
        granularity=g,
        sensitivity=design.reach * g,
        sigma=design.noises[0].scale * g,
        event=design.event,
        slack=design.slack,
        ledger=ledger,
        rng=rng,
        error=error,
        public=(*_PUBLIC, "number of rows") if rows_public else _PUBLIC,
    )


def _bounded_column(
    values: Any, patient_ids: Any, max_rows_per_patient: int | None
) -> tuple[Any, int]:
    column = numbers("values", values)
    rows, most = kept_rows(patient_ids, column.size, max_rows_per_patient)
    return (column if rows is None else column[rows]), most


def _length(values: Any) -> int:
    from veil.errors import DataError

    if isinstance(values, str | bytes | Mapping | Set):
        # Their length is no number of rows.
        raise TypeError(f"values: expected a column or a frame, got {type(values).__name__}")
    try:
        rows = len(_arrays.unmasked("values", values))
    except TypeError:
        rows = 0
    if rows == 0:
        raise DataError("values: expected a column of at least one row")
    return rows
