"""Results per subgroup of patients, such as sex and age band, over all sites together.

What is too small to show is not shown: a group with fewer than ten held-out patients of either
outcome has neither scores nor a size, and sizes are rounded to tens.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.fl.metrics import auroc
from veil.study.datasets.table import Cohort
from veil.study.schema import SubgroupRule
from veil.study.summary import interval

__all__ = ["FEWEST", "Predictions", "group_columns", "score_groups", "summarise_groups"]

FEWEST = 10
RULE = (
    f"A group with fewer than {FEWEST} held-out patients with the outcome, or fewer than {FEWEST} "
    "without it, is not shown for that seed; sizes are means over seeds, rounded to tens."
)
METRICS = ("auroc", "fnr")

Groups = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a method's models say about one site's held-out rows.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Outcomes.
    probability : ndarray of float, shape (n,)
        Predicted probability of outcome 1.
    patients : ndarray of int, shape (n,)
        Patient of each row.
    groups : mapping of str to ndarray of str, shape (n,)
        Group of each row by attribute; "" where it is not known.
    """

    y: NDArray[Any]
    probability: NDArray[np.float64]
    patients: NDArray[np.int64]
    groups: Groups


def group_columns(cohort: Cohort) -> dict[str, NDArray[Any]]:
    """Name the group of every row, by attribute.

    Parameters
    ----------
    cohort : Cohort
        Whose schema names the attributes; without one there are none.

    Returns
    -------
    dict of str to ndarray of str, shape (n_rows,)
        Groups; "" where the value is missing.
    """
    if cohort.schema is None:
        return {}
    columns = {column.name: column for column in cohort.columns}
    return {
        rule.column: _named(rule, columns[rule.column].values)
        for rule in cohort.schema.subgroups
        if rule.column in columns
    }


def _named(rule: SubgroupRule, values: NDArray[Any]) -> NDArray[Any]:
    numeric = values.dtype.kind == "f"
    if rule.edges:
        names = np.array(rule.bands())
        return np.where(np.isnan(values), "", names[np.searchsorted(rule.edges, values, "right")])
    labels = dict(rule.labels)
    text = [("" if np.isnan(v) else f"{v:g}") if numeric else str(v) for v in values]
    return np.array([labels.get(value, value) for value in text])


def score_groups(predictions: Sequence[Predictions]) -> list[dict[str, Any]]:
    """Score each group over all sites' held-out rows.

    One threshold holds for everybody: that at which as many rows are flagged as have the outcome.

    Parameters
    ----------
    predictions : sequence of Predictions
        One per site.

    Returns
    -------
    list of dict
        For each group its ``auroc``, its false-negative rate ``fnr`` and the number of patients
        ``n`` in tens; None where the group is too small to show.
    """
    y = np.concatenate([p.y for p in predictions])
    probability = np.concatenate([p.probability for p in predictions])
    patients = np.concatenate([p.patients for p in predictions])
    flagged = _flagged(y, probability)
    entries = []
    for attribute in predictions[0].groups:
        groups = np.concatenate([p.groups[attribute] for p in predictions])
        for group in sorted(set(groups.tolist()) - {""}):
            rows = groups == group
            entry = {"attribute": attribute, "group": group}
            scores = _scored(y[rows], probability[rows], flagged[rows], patients[rows])
            entries.append(entry | scores)
    return entries


def _flagged(y: NDArray[Any], probability: NDArray[np.float64]) -> NDArray[np.bool_]:
    positives = int(np.count_nonzero(y == 1))
    if positives == 0:
        return np.zeros(y.shape, np.bool_)
    threshold = np.partition(probability, -positives)[-positives]
    return np.asarray(probability >= threshold)


def _scored(
    y: NDArray[Any],
    probability: NDArray[np.float64],
    flagged: NDArray[np.bool_],
    patients: NDArray[np.int64],
) -> dict[str, Any]:
    ill = np.unique(patients[y == 1]).size
    everyone = np.unique(patients).size
    if ill < FEWEST or everyone - ill < FEWEST:
        return {"n": None, "auroc": None, "fnr": None}
    return {
        "n": _to_tens(everyone),
        "auroc": auroc(y, probability),
        "fnr": float(np.mean(~flagged[y == 1])),
    }


def summarise_groups(
    runs: Iterable[Mapping[str, Any]], methods: Sequence[str]
) -> dict[str, Any] | None:
    """Summarise the groups' scores over seeds.

    Parameters
    ----------
    runs : iterable of mapping
        Entries of ``runs`` with their ``subgroups``.
    methods : sequence of str
        Identifiers, in the order of the report.

    Returns
    -------
    dict or None
        ``subgroups`` of the results; None when the data names no group.
    """
    scored: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for run in runs:
        for entry in run.get("subgroups", ()):
            key = entry["attribute"], entry["group"]
            scored.setdefault(key, {}).setdefault(run["method"], []).append(entry)
    if not scored:
        return None
    groups = [
        {"attribute": attribute, "group": group, "n": _rounded(by_method)}
        for (attribute, group), by_method in sorted(scored.items(), key=_order)
    ]
    return {"rule": RULE, "groups": groups, "summary": _rows(scored, groups, methods)}


def _order(item: tuple[tuple[str, str], Any]) -> tuple[str, float, str]:
    """Sort bands by where they begin, other groups by name."""
    attribute, group = item[0]
    first = group.split()[0]
    try:
        number = float("-inf") if first == "below" else float(first)
    except ValueError:
        number = 0.0
    return attribute, number, group


def _rounded(by_method: Mapping[str, Sequence[Mapping[str, Any]]]) -> int | None:
    """Round the mean size to tens; held-out rows are the same for every method."""
    entries = next(iter(by_method.values()))
    sizes = [entry["n"] for entry in entries if entry["n"] is not None]
    return _to_tens(statistics.fmean(sizes)) if sizes else None


def _to_tens(count: float) -> int:
    return 10 * round(count / 10)


def _rows(
    scored: Mapping[tuple[str, str], Mapping[str, Sequence[Mapping[str, Any]]]],
    groups: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
) -> list[dict[str, Any]]:
    rows = []
    for group in groups:
        key = group["attribute"], group["group"]
        for method in methods:
            for metric in METRICS:
                entries = scored[key].get(method, ())
                values = [e[metric] for e in entries if e[metric] is not None]
                mean, low, high = interval(values)
                rows.append(
                    {
                        "method": method,
                        "attribute": key[0],
                        "group": key[1],
                        "metric": metric,
                        "mean": mean,
                        "low": low,
                        "high": high,
                        "n": len(values),
                    }
                )
    return rows
