"""Mean and 95 % interval over seeds: Student's t, as the seeds are few."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

__all__ = ["METRICS", "interval", "summarise"]

METRICS = ("auroc", "accuracy", "brier")
_LOWER_IS_BETTER = frozenset({"brier"})


def interval(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return the mean and its 95 % interval, cut to [0, 1].

    Parameters
    ----------
    values : sequence of float
        One value per seed, each in [0, 1].

    Returns
    -------
    tuple of float or None
        Mean, low and high: mean ± t(0.975, n - 1)·s/√n. None for what cannot be computed.

    Examples
    --------
    >>> from veil.study.summary import interval
    >>> [round(v, 3) for v in interval([0.90, 0.92, 0.94])]
    [0.92, 0.87, 0.97]
    """
    if not values:
        return None, None, None
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None, None
    from scipy.special import stdtrit

    t = float(stdtrit(len(values) - 1, 0.975))
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    # A mean of values in [0, 1] may leave it by a rounding error: the interval holds its mean.
    return mean, min(mean, max(0.0, mean - half)), max(mean, min(1.0, mean + half))


def summarise(
    runs: Sequence[dict[str, Any]], methods: Sequence[str], sites: Sequence[str]
) -> list[dict[str, Any]]:
    """Summarise runs per method, metric and scope.

    Parameters
    ----------
    runs : sequence of dict
        Entries of ``runs``.
    methods, sites : sequence of str
        Identifiers, in the order of the report.

    Returns
    -------
    list of dict
        Entries of ``summary``: ``mean`` is the unweighted mean over the sites that have a value,
        ``worst`` the worst of them in each seed, ``site:ID`` one site.
    """
    rows = []
    for method in methods:
        own = [run for run in runs if run["method"] == method]
        for metric in METRICS:
            rows += [
                _row(method, metric, scope, values)
                for scope, values in _scopes(own, metric, sites).items()
            ]
    return rows


def _scopes(
    runs: Sequence[dict[str, Any]], metric: str, sites: Sequence[str]
) -> dict[str, list[float]]:
    worst = max if metric in _LOWER_IS_BETTER else min
    scopes: dict[str, list[float]] = {"mean": [], "worst": []}
    scopes.update((f"site:{s}", []) for s in sites)
    for run in runs:
        values = {s: run["sites"][s][metric] for s in sites if run["sites"][s][metric] is not None}
        if values:
            scopes["mean"].append(statistics.fmean(values.values()))
            scopes["worst"].append(worst(values.values()))
        for site, value in values.items():
            scopes[f"site:{site}"].append(value)
    return scopes


def _row(method: str, metric: str, scope: str, values: Sequence[float]) -> dict[str, Any]:
    mean, low, high = interval(values)
    return {
        "method": method,
        "metric": metric,
        "scope": scope,
        "mean": mean,
        "low": low,
        "high": high,
        "n": len(values),
    }
