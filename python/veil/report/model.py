"""The study as the page and the pictures look at it: lookups, groups, and what to leave out."""

import dataclasses
import functools
import statistics
from typing import Any

from veil.report import text
from veil.report.results import Results

__all__ = ["METRICS", "Estimate", "Method", "Model"]

METRICS = ("auroc", "accuracy", "brier")

_MAX_SITES = 30
_MAX_GROUPS = 20
_MAX_PER_SITE = 10
_PRIVATE_PER_SITE = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with its 95 % interval; None for what cannot be computed."""

    mean: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def shown(self) -> str:
        """The mean as shown."""
        return text.score(self.mean)

    @property
    def spread(self) -> str:
        """The interval as shown, or nothing."""
        return text.interval(self.low, self.high)

    @property
    def sentence(self) -> str:
        """The mean with its interval in brackets."""
        return text.estimate(self.mean, self.low, self.high)

    def ends(self) -> list[float]:
        """Return what an axis must hold."""
        return [v for v in (self.mean, self.low, self.high) if v is not None]


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """A compared method with what it cost."""

    id: str
    kind: str
    label: str
    short: str
    epsilon: float | None
    strategy: str | None
    raw: dict[str, Any]
    moved: str
    seconds: str


class Model:
    """A valid study with its lookups.

    Parameters
    ----------
    results : dict
        A valid study.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self._summary = {
            (row["method"], row["metric"], row["scope"]): Estimate(
                row["mean"], row["low"], row["high"], row["n"]
            )
            for row in results["summary"]
        }
        self.methods = [self._method(raw) for raw in results["methods"]]
        sites = results["dataset"]["sites"]
        self.sites = sites if len(sites) <= _MAX_SITES else self._hardest(sites)
        self.sites_left_out = len(sites) - len(self.sites)

    def subgroups(self) -> list[dict[str, Any]]:
        """List the groups that are large enough to show, each with its methods' estimates."""
        told = self.results.get("subgroups")
        if told is None:
            return []
        found = {
            (row["method"], row["attribute"], row["group"], row["metric"]): Estimate(
                row["mean"], row["low"], row["high"], row["n"]
            )
            for row in told["summary"]
        }
        return [
            {
                "attribute": text.label(group["attribute"]),
                "group": text.label(group["group"]),
                "n": group["n"],
                "rows": [
                    (
                        method,
                        *(
                            found[method.id, group["attribute"], group["group"], metric].sentence
                            for metric in ("auroc", "fnr")
                        ),
                    )
                    for method in self.per_site_methods()
                ],
            }
            for group in told["groups"][:_MAX_GROUPS]
        ]

    def estimate(self, method: Method, metric: str, scope: str) -> Estimate:
        """Look up one number of the summary."""
        return self._summary[method.id, metric, scope]

    def of_kind(self, kind: str) -> list[Method]:
        """List the methods of one kind, in the report's order."""
        return [method for method in self.methods if method.kind == kind]

    def references(self) -> list[Method]:
        """List the methods without an ε that the trade-off curve is read against."""
        return [m for kind in ("pooled", "federated", "local") for m in self.of_kind(kind)[:1]]

    def curves(self) -> list[list[Method]]:
        """Group the private methods by strategy, each sorted by ε."""
        groups: dict[str | None, list[Method]] = {}
        for method in self.of_kind("dp"):
            groups.setdefault(method.strategy, []).append(method)
        return [sorted(group, key=lambda m: m.epsilon or 0.0) for group in groups.values()]

    def per_site_methods(self) -> list[Method]:
        """List the methods of the per-site bars: all, or one of each kind and some ε."""
        if len(self.methods) <= _MAX_PER_SITE:
            return self.methods
        private = self.curves()[0] if self.curves() else []
        count = min(_PRIVATE_PER_SITE, len(private))
        picked = {round(i * (len(private) - 1) / max(1, count - 1)) for i in range(count)}
        chosen = [*self.references(), *(private[i] for i in sorted(picked))]
        chosen += self.of_kind("hybrid")[:1]
        return [method for method in self.methods if method in chosen]

    @functools.cached_property
    def worst_sites(self) -> dict[str, set[str]]:
        """Tell for each method at which sites its mean AUROC is lowest."""
        worst = {}
        for method in self.methods:
            means = {
                site["id"]: self.estimate(method, "auroc", f"site:{site['id']}").mean
                for site in self.results["dataset"]["sites"]
            }
            lowest = min((m for m in means.values() if m is not None), default=None)
            worst[method.id] = {s for s, m in means.items() if m is not None and m == lowest}
        return worst

    def without_auroc(self, site: dict[str, Any]) -> bool:
        """Tell whether no method has an AUROC at a site."""
        scope = f"site:{site['id']}"
        return all(self.estimate(m, "auroc", scope).mean is None for m in self.methods)

    def protections(self) -> list[tuple[str, Method]]:
        """Merge the methods that protect alike, each group with its heading."""
        groups: dict[tuple[Any, ...], list[Method]] = {}
        fields = ("strategy", "protects", "does_not_protect", "trusted", "preprocessing")
        for method in self.methods:
            private = method.kind in ("dp", "hybrid")
            key = (
                method.kind,
                *(method.raw[f] for f in fields if f != "strategy" or private),
            )
            groups.setdefault(key, []).append(method)
        return [(self._heading(group), group[0]) for group in groups.values()]

    def _heading(self, group: list[Method]) -> str:
        if len(group) == 1:
            return group[0].label
        if group[0].kind in ("dp", "hybrid"):
            epsilons = ", ".join(text.plain(m.epsilon) for m in group)
            name = "Hybrid" if group[0].kind == "hybrid" else "Differentially private"
            return f"{name}, ε = {epsilons}"
        return ", ".join(method.label for method in group)

    def _method(self, raw: dict[str, Any]) -> Method:
        runs = [run for run in self.results["runs"] if run["method"] == raw["id"]]
        moved = statistics.fmean(r["bytes_up"] + r["bytes_down"] for r in runs) if runs else None
        seconds = statistics.fmean(r["seconds"] for r in runs) if runs else None
        return Method(
            id=raw["id"],
            kind="hybrid" if _is_hybrid(raw) else raw["kind"],
            label=text.label(raw["label"]),
            short=self._short(raw),
            epsilon=raw["epsilon"],
            strategy=raw["strategy"],
            raw=raw,
            moved="–" if moved is None else text.data_size(moved),
            seconds="–" if seconds is None else text.duration(seconds),
        )

    def _short(self, raw: dict[str, Any]) -> str:
        several = len({m["strategy"] for m in self.results["methods"] if m["kind"] == "dp"}) > 1
        if raw["kind"] == "dp" and not several and not _is_hybrid(raw):
            return f"ε = {text.plain(raw['epsilon'])}"
        if _is_hybrid(raw):
            return f"hybrid, {text.plain(raw['epsilon'])}"
        if raw.get("aggregation") == "secure":
            return "+ SecAgg"  # under its strategy's bar; a longer name leaves bars no room
        return text.label(raw["label"])

    def _hardest(self, sites: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # A study over hundreds of sites would not fit one page: keep those that fare worst.
        together = (self.of_kind("federated") or self.methods)[0]

        def mean(site: dict[str, Any]) -> float:
            value = self.estimate(together, "auroc", f"site:{site['id']}").mean
            return 2.0 if value is None else value

        kept = {site["id"] for site in sorted(sites, key=mean)[:_MAX_SITES]}
        return [site for site in sites if site["id"] in kept]


def _is_hybrid(raw: dict[str, Any]) -> bool:
    """Tell whether the sites add the noise; the curve of a trusted server leaves those out."""
    return raw["kind"] == "dp" and raw.get("aggregation") == "secure"
