"""The study's answer in a sentence, from differences paired by seed.

Seeds share the split of the patients, so methods are compared seed by seed: the interval of the
difference is Student's t over the paired differences, narrower and more honest than comparing
two separate intervals.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

from veil.report.results import Results
from veil.report.text import label, plain, score

__all__ = ["Difference", "answer", "paired_difference", "worst_by_seed"]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference of two methods with its 95 % interval over seeds."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def worst_by_seed(results: Results, method: str) -> dict[int, float]:
    """Return the AUROC of a method's worst site for each seed that has one."""
    found = {}
    for run in results["runs"]:
        if run["method"] == method:
            values = [s["auroc"] for s in run["sites"].values() if s["auroc"] is not None]
            if values:
                found[run["seed"]] = min(values)
    return found


def paired_difference(results: Results, first: str, second: str) -> Difference | None:
    """Compare the worst-site AUROC of two methods, second minus first.

    Parameters
    ----------
    results : dict
        A valid study.
    first, second : str
        Identifiers of methods.

    Returns
    -------
    Difference or None
        None when fewer than two seeds have both values.
    """
    a, b = worst_by_seed(results, first), worst_by_seed(results, second)
    deltas = [b[seed] - a[seed] for seed in a if seed in b]
    if len(deltas) < 2:
        return None
    mean = statistics.fmean(deltas)
    half = _t_975(len(deltas) - 1) * statistics.stdev(deltas) / math.sqrt(len(deltas))
    return Difference(mean, mean - half, mean + half)


def answer(results: Results) -> list[str]:
    """Say in two or three sentences what the study found at the worst site.

    Parameters
    ----------
    results : dict
        A valid study.

    Returns
    -------
    list of str
        Sentences; the first is the lead.
    """
    local = _of_kind(results, "local")
    together = _of_kind(results, "federated")
    private = _private_curve(results, together[0] if together else None)
    if not local or not together:
        return [f"{len(results['methods'])} methods were compared on the same patients."]
    lead = _gain(results, local[0], together[0])
    if not private or _worst(results, together[0]) is None:
        return [f"{lead}."]
    return [f"{lead}; {_cost(results, together[0], private)}.", *_alone(results, local[0], private)]


def _gain(results: Results, local: dict[str, Any], together: dict[str, Any]) -> str:
    before, after = _worst(results, local), _worst(results, together)
    if before is None or after is None:
        return "No site had held-out patients of both classes, so no AUROC can be compared"
    span = f"from {score(before)} (each site alone) to {score(after)} ({label(together['label'])})"
    difference = paired_difference(results, local["id"], together["id"])
    if difference is None:
        return f"Training together moved the worst site’s AUROC {span}"
    if not difference.clear:
        return f"Training together did not clearly change the worst site’s AUROC, {span}"
    verb = "raised" if difference.mean > 0 else "lowered"
    return f"Training together {verb} the worst site’s AUROC {span}"


def _cost(results: Results, together: dict[str, Any], private: Sequence[dict[str, Any]]) -> str:
    ends = [private[-1], private[0]] if len(private) > 1 else private
    costs = [(m, found) for m in ends if (found := _cost_at(results, together, m)) is not None]
    doubt = f"clear with {len(results['seeds'])} seeds"
    none_clear = len(costs) > 1 and not any(clear for _, (_, clear) in costs)
    parts: list[str] = []
    verb = ""
    for method, (cost, clear) in costs:
        last, verb = verb, "costs" if cost >= 0 else "adds"
        told = f"{score(abs(cost))} at ε = {plain(method['epsilon'])}"
        note = "" if clear or none_clear else f" (not {doubt})"
        parts.append(f"{'' if verb == last else verb + ' '}{told}{note}")
    ending = f" (neither {doubt})" if none_clear else ""
    return f"differential privacy {' and '.join(parts) or 'cannot be compared'}{ending}"


def _cost_at(
    results: Results, together: dict[str, Any], method: dict[str, Any]
) -> tuple[float, bool] | None:
    """Return what one ε costs and whether that is clear; a single seed is told elsewhere."""
    base, value = _worst(results, together), _worst(results, method)
    if base is None or value is None:
        return None
    difference = paired_difference(results, together["id"], method["id"])
    return base - value, difference is None or difference.clear


def _alone(results: Results, local: dict[str, Any], private: Sequence[dict[str, Any]]) -> list[str]:
    differences = [
        (plain(method["epsilon"]), paired_difference(results, local["id"], method["id"]))
        for method in private
    ]
    if all(difference is None for _, difference in differences):
        return ["With a single seed there are no intervals: repeat with more before deciding."]
    better = [epsilon for epsilon, d in differences if d is not None and d.low > 0]
    worse = [epsilon for epsilon, d in differences if d is not None and d.high < 0]
    told = [
        f"clearly {word} at ε = {', '.join(found)}"
        for word, found in (("better", better), ("worse", worse))
        if found
    ]
    if not told:
        return ["At no ε was private training clearly better or worse than each site alone."]
    rest = "" if len(better) + len(worse) == len(private) else "; elsewhere there is no clear sign"
    return [f"Compared with each site alone, private training was {' and '.join(told)}{rest}."]


def _of_kind(results: Results, kind: str) -> list[dict[str, Any]]:
    return [method for method in results["methods"] if method["kind"] == kind]


def _private_curve(results: Results, together: dict[str, Any] | None) -> list[dict[str, Any]]:
    private = [m for m in _of_kind(results, "dp") if m.get("aggregation") != "secure"]
    if not private:
        return []
    strategies = [method["strategy"] for method in private]
    wanted = together["strategy"] if together else None
    strategy = wanted if wanted in strategies else strategies[0]
    return sorted(
        (m for m in private if m["strategy"] == strategy), key=lambda method: method["epsilon"]
    )


def _worst(results: Results, method: dict[str, Any]) -> float | None:
    for row in results["summary"]:
        if (row["method"], row["metric"], row["scope"]) == (method["id"], "auroc", "worst"):
            mean: float | None = row["mean"]
            return mean
    return None


def _t_975(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
