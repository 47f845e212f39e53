"""Histograms: equal bins, given edges, known categories, or categories that only the data knows.

Unknown categories: a category is shown only if its noisy count passes a threshold that the rows of
one unit pass with probability at most delta (Korolova et al. 2009, Releasing search queries and
clicks privately).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veil._checks import whole
from veil.dp._columns import MOST_ROWS, categories_of, kept_rows, numbers
from veil.dp._counting import count_categories, count_edges, count_equal
from veil.dp._inputs import require_finite
from veil.dp._query import (
    Budget,
    Noise,
    answer,
    check_bounds,
    check_spacing,
    distance,
    joint_noise,
    prepared,
)
from veil.dp.events import Event
from veil.dp.release import Release

if TYPE_CHECKING:
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = ["histogram"]

_MOST_BINS = 1 << 24
_PUBLIC = ("bins or categories", "epsilon and delta", "rows per patient")
_PUBLIC_UNKNOWN = ("epsilon and delta", "rows per patient", "the threshold")


def histogram(
    values: Any,
    *,
    bounds: tuple[float, float] | None,
    epsilon: float,
    delta: float,
    patient_ids: Any,
    ledger: "Ledger",
    bins: int | Sequence[float] | None = None,
    categories: Sequence[Any] | None = None,
    max_rows_per_patient: int | None = None,
    rng: "SecureGenerator | None" = None,
    label: str = "histogram",
) -> Release:
    """Count the rows of each bin or category.

    ==================  ==================  ===================================================
    `bounds`            and                 bins
    ==================  ==================  ===================================================
    ``(low, high)``     ``bins=k``          k of equal width; values outside are not counted
    None                ``bins=edges``      as given; the last is closed
    None                ``categories=...``  as given; other values are not counted
    None                neither             the categories whose noisy count is above a threshold
    ==================  ==================  ===================================================

    Parameters
    ----------
    values : column, shape (n_rows,)
        NumPy array, pandas or polars Series: of numbers for bins, of strings, integers or booleans
        for categories.
    bounds : (low, high) or None
        Public bounds for equal bins.
    epsilon : float
        Of this query, above 0.
    delta : float
        Of this query. Known bins: 0 asks for Laplace noise, above 0 for Gaussian noise. Unknown
        categories: above 0, the probability that a category of one unit alone is shown; in an
        adaptive ledger it comes out of its `additive_delta`.
    patient_ids : column or None
        Who each row belongs to: integers, text, bytes or dates, all of one kind and none missing.
        None says that each row is its own patient.
    ledger : Ledger
        Is charged before any noise is drawn.
    bins : int or sequence of float, optional
        Number of equal bins, or edges in ascending order.
    categories : sequence, optional
        Known, distinct categories.
    max_rows_per_patient : int, optional
        Needed with `patient_ids`: later rows of a patient are left out.
    rng : SecureGenerator, optional
        By default a new one, seeded by the operating system.
    label : str
        Label of the charge.

    Returns
    -------
    Release
        Whole numbers, not clamped to 0; `labels` holds the edges or categories; `error` is each
        count's 95 % half-width.

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
    One pass over the values. Counts of a unit's rows: L1 distance m between neighbours (2 m under
    replace-one), L2 distance m (sqrt(2) m), with m the rows per unit.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> wards = np.repeat(["A", "B"], [300, 700])
    >>> released = veil.dp.histogram(wards, bounds=None, categories=["A", "B"], epsilon=0.4,
    ...                              delta=0.0, patient_ids=None, ledger=ledger)
    >>> released.labels, abs(released.value[1] - 700) < 100
    (('A', 'B'), np.True_)
    """
    source = prepared(ledger, rng)
    budget = Budget.checked(epsilon, delta)
    if bins is None and categories is None:
        return _unknown(
            values, bounds, budget, patient_ids, ledger, max_rows_per_patient, source, label
        )
    counts, labels, most = _known(
        values, bounds, bins, categories, patient_ids, max_rows_per_patient
    )
    (noise,), event = _noise(budget, most, ledger.relation)
    slack = counts.size * noise.distribution.tv_bound
    ledger.charge(event, slack=slack, label=label)
    return answer(
        value=noise.add(counts, source),
        mechanism=noise.name,
        granularity=1.0,
        sensitivity=_reach(budget, most, ledger.relation),
        sigma=noise.scale,
        event=event,
        slack=slack,
        ledger=ledger,
        rng=source,
        error=noise.half_width(),
        public=_PUBLIC,
        labels=labels,
    )


def _reach(budget: Budget, most: int, relation: str) -> float:
    two = 2.0 if budget.delta == 0.0 else math.sqrt(2.0)
    return most * distance(relation, one=1.0, two=two)


def _noise(budget: Budget, most: int, relation: str) -> tuple[list[Noise], Event]:
    return joint_noise(budget, [_reach(budget, most, relation)], [1.0])


def charge_of(
    budget: Budget,
    most: int,
    relation: str,
    bins: int | Sequence[float] | None,
    categories: Sequence[Any] | None,
) -> tuple[Event, float, float]:
    """Return the event, slack and failure probability of a histogram, for a plan."""
    if bins is None and categories is None:
        (noise,), event = _noise(Budget(budget.epsilon, 0.0), most, relation)
        return event, MOST_ROWS * noise.distribution.tv_bound, budget.delta
    (noise,), event = _noise(budget, most, relation)
    size = len(categories) if categories is not None else _cells(bins) or len(_edges(bins)) - 1
    return event, size * noise.distribution.tv_bound, 0.0


def _known(
    values: Any,
    bounds: Any,
    bins: int | Sequence[float] | None,
    categories: Sequence[Any] | None,
    patient_ids: Any,
    max_rows_per_patient: int | None,
) -> tuple[npt.NDArray[np.int64], tuple[Any, ...], int]:
    """Return exact counts, their labels and the rows per unit."""
    if (bins is None) == (categories is None):
        raise ValueError("bins, categories: expected one of them, got both")
    if categories is not None:
        _no_bounds(bounds)
        names = _distinct(categories)
        column, most = _kept(categories_of("values", values), patient_ids, max_rows_per_patient)
        return count_categories(column, names), names, most
    column, most = _kept(numbers("values", values, finite=False), patient_ids, max_rows_per_patient)
    cells = _cells(bins)
    if cells is not None:
        low, high = check_bounds(bounds)
        check_spacing(low, high, (high - low) / cells)
        counts = count_equal("values", column, low, high, cells, clamp=False)
        return counts, tuple(np.linspace(low, high, cells + 1).tolist()), most
    _no_bounds(bounds)
    edges = _edges(bins)
    require_finite("values", column)
    return count_edges(column, edges), tuple(edges.tolist()), most


def _cells(bins: Any) -> int | None:
    """Return the number of equal bins, or None for edges."""
    return whole("bins", bins, least=1, most=_MOST_BINS) if np.ndim(bins) == 0 else None


def _edges(bins: Any) -> npt.NDArray[np.float64]:
    try:
        edges = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("bins: expected edges that are numbers") from error
    if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0):
        raise ValueError("bins: expected a number of bins or at least two ascending edges")
    return edges


def _no_bounds(bounds: Any) -> None:
    if bounds is not None:
        raise ValueError("bounds: expected None with edges or categories, got a pair")


def _distinct(categories: Sequence[Any]) -> tuple[Any, ...]:
    given = getattr(categories, "tolist", lambda: categories)()
    if not isinstance(given, list | tuple | range):
        raise TypeError(
            f"categories: expected a list, tuple, range or array, got {type(categories).__name__}"
        )
    names = tuple(given)
    if not names:
        raise ValueError("categories: expected at least one, all distinct")
    try:
        distinct = set(categories_of("categories", names).tolist())
    except (TypeError, ValueError) as error:
        raise ValueError(
            "categories: expected distinct values of one type, strings, integers or booleans; a "
            "row could count twice"
        ) from error
    if len(distinct) != len(names):
        raise ValueError("categories: expected at least one, all distinct")
    return names


def _kept(
    column: npt.NDArray[Any], patient_ids: Any, max_rows_per_patient: int | None
) -> tuple[npt.NDArray[Any], int]:
    rows, most = kept_rows(patient_ids, column.size, max_rows_per_patient)
    return (column if rows is None else column[rows]), most


def _unknown(
    values: Any,
    bounds: Any,
    budget: Budget,
    patient_ids: Any,
    ledger: "Ledger",
    max_rows_per_patient: int | None,
    rng: "SecureGenerator",
    label: str,
) -> Release:
    _no_bounds(bounds)
    if budget.delta == 0.0:
        raise ValueError("delta: expected above 0 for unknown categories, got 0")
    column, most = _kept(categories_of("values", values), patient_ids, max_rows_per_patient)
    laplace = Budget(budget.epsilon, 0.0)
    (noise,), event = _noise(laplace, most, ledger.relation)
    # Replacing a unit hides its categories on one side and shows new ones on the other.
    each = budget.delta / distance(ledger.relation, one=1.0, two=2.0)
    threshold = stable_threshold(most, noise.scale, each)
    names, counts = np.unique(column, return_counts=True)
    # How many categories there are is private: the slack is charged for the most there can be.
    slack = MOST_ROWS * noise.distribution.tv_bound
    ledger.charge(event, slack=slack, label=label, additive_delta=budget.delta)
    noisy = noise.add(counts, rng)
    shown = noisy >= threshold
    return answer(
        value=noisy[shown],
        mechanism=f"discrete Laplace, categories of a noisy count of at least {threshold}",
        granularity=1.0,
        sensitivity=_reach(laplace, most, ledger.relation),
        sigma=noise.scale,
        event=event,
        slack=slack,
        ledger=ledger,
        rng=rng,
        error=noise.half_width(),
        public=_PUBLIC_UNKNOWN,
        labels=tuple(names[shown].tolist()),
    )


def stable_threshold(most: int, scale: float, delta: float) -> int:
    """Return T such that categories that only one unit has pass it with probability <= delta.

    A unit's rows make at most `most` such categories, whose counts add up to `most`: a count of c
    passes with P(Z >= T - c) = q^(T - c) / (1 + q), q = exp(-1 / scale), which is convex in c, so
    that one category of `most` rows, or `most` of one row, is the worst; both are bounded by
    most q^(T - most) / (1 + q).
    """
    q = math.exp(-1.0 / scale)
    return most + math.ceil(scale * math.log(most / (delta * (1.0 + q)))) + 1
