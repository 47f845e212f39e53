"""The page: one HTML file that needs no script, no network and no other file."""

import importlib.resources
import math
from typing import Any

from veil._optional import require
from veil.errors import DataError
from veil.report import text
from veil.report.answer import answer
from veil.report.bars import site_axis, site_figure
from veil.report.model import METRICS, Model
from veil.report.results import Results
from veil.report.tradeoff import tradeoff_figure

__all__ = ["MAX_PAGE_BYTES", "page"]

MAX_PAGE_BYTES = 1 << 20
_TITLES = {
    "worst": "AUROC at the worst site against epsilon",
    "mean": "Mean AUROC over sites against epsilon",
}


def page(results: Results) -> str:
    """Render the report of a study.

    Every value of the study is escaped by the template engine, bounded in length and stripped of
    control characters, and the page forbids itself scripts and network access.

    Parameters
    ----------
    results : dict
        A valid study.

    Returns
    -------
    str
        HTML of at most 1 MiB.

    Raises
    ------
    ImportError
        If jinja2 is not installed; the message names the extra.
    ~veil.errors.DataError
        If the page would be larger than 1 MiB.
    """
    jinja2 = require("jinja2", "study")
    markup = require("markupsafe", "study").Markup
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=False,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: text.unbroken(value) if type(value) is str else value,
    )
    environment.filters.update(label=text.label, plain=text.plain)
    model = Model(results)
    axis = site_axis(model)
    rendered: str = environment.from_string(_resource("report.html.j2")).render(
        results=results,
        model=model,
        metrics=METRICS,
        css=markup(_resource("report.css")),
        answer=answer(results),
        curves={
            scope: markup(tradeoff_figure(model, scope, f"curve-{scope}", title))
            for scope, title in _TITLES.items()
        },
        site_drawings=[
            (site, markup(site_figure(model, site, f"site-{i}", axis)))
            for i, site in enumerate(model.sites)
        ],
        guarantee=_guarantee(results["privacy"]),
        certificates=_certificates(results["privacy"]),
        ledgers=_ledgers(results),
        heads=_heads(results),
        settings=_settings(results),
        inputs=_listed(results["dataset"]["features"]),
        **_counts(results["dataset"]["sites"]),
    )
    size = len(rendered.encode())
    if size > MAX_PAGE_BYTES:
        raise DataError(
            f"report: expected a page of at most {MAX_PAGE_BYTES} bytes, got {size}; "
            "compare fewer methods or shorten the texts"
        )
    return rendered


def _resource(name: str) -> str:
    return importlib.resources.files("veil.report").joinpath(name).read_text(encoding="utf-8")


def _counts(sites: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "smallest": min(site["n_train"] for site in sites),
        "largest": max(site["n_train"] for site in sites),
        "positives": sum(site["positives_train"] + site["positives_test"] for site in sites),
        "data_total": sum(site["n_train"] + site["n_test"] for site in sites),
    }


def _guarantee(privacy: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Unit of privacy", privacy["unit"]),
        ("Neighbouring relation", privacy["relation"]),
        ("δ", f"{text.plain(privacy['delta'])} = {privacy['delta_rule']}"),
        ("Training patients N (public)", str(privacy["population"])),
        ("Sampling probability q", text.plain(privacy["sampling_probability"])),
        ("Rounds", str(privacy["rounds"])),
        ("Clipping norm C", text.plain(privacy["max_grad_norm"])),
        ("Noise", privacy["noise_note"]),
        ("Event of each model", _event(privacy)),
    ]


def _event(privacy: dict[str, Any]) -> str:
    q, rounds = text.plain(privacy["sampling_probability"]), privacy["rounds"]
    return f"{rounds} × Poisson-sampled (q = {q}) Gaussian of multiplier z, and the slack"


def _certificates(privacy: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "epsilon": text.plain(c["epsilon"]),
            "z": text.plain(c["noise_multiplier"]),
            "sensitivity": text.plain(c["sensitivity"]),
            "widened": f"{c['sensitivity_widened']:.7g}",
            "sigma": text.plain(c["sigma"]),
            "lattice": text.power_of_two(c["granularity"]),
            "slack": f"{c['slack']:.2g}",
            "exact_from": f"the {c['exact_from']} on",
        }
        for c in privacy["certificates"]
    ]


def _ledgers(results: Results) -> list[dict[str, str]]:
    """Sum up the ledgers of each private method's models."""
    rows = []
    together = {c["epsilon"]: c["together"] for c in results["privacy"]["certificates"]}
    for method in results["methods"]:
        books = [r["ledger"] for r in results["runs"] if r["method"] == method["id"]
                 and "ledger" in r]  # fmt: skip
        if books:
            charged = {sum(c["rounds"] for c in book["charges"]) for book in books}
            rows.append(
                {
                    "label": text.label(method["label"]),
                    "budget": text.plain(books[0]["budget"]),
                    "spent": _rounded_up(max(book["spent"] for book in books), 5),
                    "rounds": " or ".join(map(str, sorted(charged))),
                    "drawn": " or ".join(map(str, sorted({book["drawn"] for book in books}))),
                    "mode": books[0]["mode"],
                    "models": str(len(books)),
                    "together": _rounded_up(together.get(method["epsilon"])),
                }
            )
    return rows


def _heads(results: Results) -> list[tuple[str, str]]:
    """List the heads of ledgers that are files: what a later check is compared with."""
    heads = {}
    for run in results["runs"]:
        book = run.get("ledger")
        if book is not None and book["head"] is not None:
            heads[book["head"]] = ", ".join(charge["label"] for charge in book["charges"])
    return [(head, text.label(label)) for head, label in heads.items()]


def _rounded_up(epsilon: float | None, digits: int = 2) -> str:
    if epsilon is None:
        return "beyond account"
    return f"{math.ceil(epsilon * 10**digits) / 10**digits:.{digits}f}"


def _settings(results: Results) -> list[tuple[str, str]]:
    model = ", ".join(f"{key} = {_shown(value)}" for key, value in results["task"].items())
    given = {key: value for key, value in results["options"].items() if value is not None}
    options = ", ".join(f"{key} = {_shown(value)}" for key, value in given.items())
    return [
        ("Model", model),
        ("Seeds", ", ".join(map(str, results["seeds"]))),
        ("Options", options or "none"),
    ]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_shown(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text.plain(value) if isinstance(value, float) else str(value)


def _listed(names: list[str], most: int = 40) -> str:
    shown = ", ".join(text.label(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
