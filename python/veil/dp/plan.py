"""What a query will be charged, from its public parameters alone: the items of a plan."""

from collections.abc import Callable, Sequence
from typing import Any

from veil.dp import histograms, moments, quantile
from veil.dp._book import Charge
from veil.dp._query import Budget
from veil.dp.events import check_count, check_relation

__all__ = ["planned"]


def planned(
    query: Callable[..., Any],
    *,
    relation: str,
    bounds: tuple[float, float] | None,
    epsilon: float,
    delta: float,
    label: str | None = None,
    max_rows_per_patient: int | None = None,
    bins: int | Sequence[float] | None = None,
    categories: Sequence[Any] | None = None,
    q: Sequence[float] | float = (0.25, 0.5, 0.75),
    step: float | None = None,
) -> Charge:
    """Return what a query will charge a ledger, without touching data.

    A ledger with ``mode="planned"`` takes a list of these by `Ledger.reserve`; the queries that
    follow must be called with the same parameters.

    Parameters
    ----------
    query : function
        `count`, `sum`, `mean`, `variance`, `histogram` or `quantiles` of `veil.dp`.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        The ledger's.
    bounds, epsilon, delta
        As the query will be given.
    label : str, optional
        As the query will be given; by default the query's own.
    max_rows_per_patient : int, optional
        As the query will be given; None stands for ``patient_ids=None``.
    bins, categories, q, step
        As the query will be given.

    Returns
    -------
    Charge
        An item of a plan.

    Raises
    ------
    ValueError
        If a parameter is out of range or the query is not one of these.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="zero-out", mode="planned")
    >>> item = veil.dp.planned(veil.dp.mean, relation="zero-out", bounds=(0, 120), epsilon=0.9,
    ...                        delta=1e-7)
    >>> reservation = ledger.reserve([item])
    """
    check_relation(relation)
    budget = Budget.checked(epsilon, delta)
    most = 1 if max_rows_per_patient is None else check_count("rows", max_rows_per_patient)
    alone = max_rows_per_patient is None
    extra: dict[str, Any] = {"bins": bins, "categories": categories, "q": q, "step": step}
    name = getattr(query, "__name__", "")
    if name not in _CHARGES or query is not _QUERIES[name]:
        raise ValueError(f"query: expected one of veil.dp's {', '.join(_QUERIES)}, got {query!r}")
    event, slack, additive = _CHARGES[name](budget, bounds, most, relation, alone, extra)
    return Charge(label or name, event, slack, additive)


def _of_design(design: moments.Design) -> tuple[Any, float, float]:
    return design.event, design.slack, 0.0


def _count(b: Budget, bounds: Any, most: int, relation: str, alone: bool, extra: Any) -> Any:
    return _of_design(moments.count_design(b, most=most))


def _sum(b: Budget, bounds: Any, most: int, relation: str, alone: bool, extra: Any) -> Any:
    public = alone and relation == "replace-one"
    return _of_design(
        moments.sum_design(b, bounds, most=most, relation=relation, rows_public=public)
    )


def _mean(b: Budget, bounds: Any, most: int, relation: str, alone: bool, extra: Any) -> Any:
    public = alone and relation == "replace-one"
    return _of_design(
        moments.mean_design(b, bounds, most=most, relation=relation, rows_public=public)
    )


def _variance(b: Budget, bounds: Any, most: int, relation: str, alone: bool, extra: Any) -> Any:
    public = alone and relation == "replace-one"
    return _of_design(
        moments.variance_design(b, bounds, most=most, relation=relation, rows_public=public)
    )


def _histogram(b: Budget, bounds: Any, most: int, relation: str, alone: bool, extra: Any) -> Any:
    return histograms.charge_of(b, most, relation, extra["bins"], extra["categories"])


def _quantiles(b: Budget, bounds: Any, most: int, relation: str, alone: bool, extra: Any) -> Any:
    design = quantile.design_of(b, bounds, most, relation, extra["q"], extra["step"])
    return design.event, design.tree.slack, 0.0


_QUERIES: dict[str, Callable[..., Any]] = {
    "count": moments.count,
    "sum": moments.sum,
    "mean": moments.mean,
    "variance": moments.variance,
    "histogram": histograms.histogram,
    "quantiles": quantile.quantiles,
}
_CHARGES: dict[str, Callable[..., Any]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "variance": _variance,
    "histogram": _histogram,
    "quantiles": _quantiles,
}
