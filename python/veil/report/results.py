"""Reading, checking and writing ``results.json``; its schema is ``results.schema.json``."""

import importlib.resources
import json
import math
import pathlib
from typing import Any

from veil._optional import require
from veil.errors import DataError

__all__ = ["MAX_BYTES", "Results", "dumps", "load", "loads", "schema"]

Results = dict[str, Any]

MAX_BYTES = 64 << 20
_MAX_MESSAGE = 300
_METRICS = ("auroc", "accuracy", "brier")


def schema() -> Results:
    """Return the JSON Schema (draft 2020-12) of ``results.json``.

    Returns
    -------
    dict
        A fresh copy of the schema; its ``description`` entries document every field.

    Examples
    --------
    >>> veil.report.schema()["properties"]["version"]["const"]
    1
    """
    text = importlib.resources.files("veil.report").joinpath("results.schema.json").read_text()
    result: Results = json.loads(text)
    return result


def load(path: str | pathlib.Path) -> Results:
    """Read and check a results file.

    Parameters
    ----------
    path : str or path
        A ``results.json`` that a study wrote.

    Returns
    -------
    dict
        The results, valid against :func:`schema` and consistent in themselves.

    Raises
    ------
    OSError
        If the file cannot be read.
    ~veil.errors.DataError
        If it is larger than 64 MiB, no JSON, or no valid study.
    """
    path = pathlib.Path(path)
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES >> 20} MiB of study results")
    try:
        return loads(raw.decode("utf-8"))
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {_short(str(error))}") from error


def loads(text: str) -> Results:
    """Parse and check the text of a results file.

    Parameters
    ----------
    text : str
        JSON.

    Returns
    -------
    dict
        The results, valid against :func:`schema` and consistent in themselves.

    Raises
    ------
    ~veil.errors.DataError
        If the text is no JSON, no valid study, or contradicts itself; the message names the
        place and is bounded in length.
    """
    try:
        results = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_bounded
        )
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"not readable as JSON ({_short(str(error))}); use the results.json of a study"
        ) from error
    _check_schema(results)
    _check_consistent(results)
    checked: Results = results
    return checked


def dumps(results: Results) -> str:
    """Turn results into the text of a results file.

    Parameters
    ----------
    results : dict
        Results of a study.

    Returns
    -------
    str
        JSON, keys in the given order.

    Raises
    ------
    ~veil.errors.DataError
        If a value is NaN, infinite or no JSON type.
    """
    try:
        return json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"results: expected finite JSON values; {_short(str(error))}") from error


def _check_schema(results: object) -> None:
    jsonschema = require("jsonschema", "study")
    validator = jsonschema.Draft202012Validator(schema())
    error = jsonschema.exceptions.best_match(validator.iter_errors(results))
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise DataError(
            f"not a version 1 study: at {_short(place)}: {_short(error.message)}; "
            "redraw with the Veil that wrote it, or run the study again"
        )


def _check_consistent(results: Results) -> None:
    methods = _unique([m["id"] for m in results["methods"]], "methods")
    sites = _unique([s["id"] for s in results["dataset"]["sites"]], "sites")
    for method in results["methods"]:
        if (method["kind"] == "dp") != (method["epsilon"] is not None):
            raise DataError(
                f"method {_short(method['id'])}: expected an epsilon for kind dp and for no other"
            )
    pairs = [(run["method"], run["seed"]) for run in results["runs"]]
    _unique(pairs, "runs")
    private = {m["id"] for m in results["methods"] if m["kind"] == "dp"}
    for run in results["runs"]:
        _known(run["method"], methods, "runs: method")
        _check_ledger(run, private)
        _known(run["seed"], set(results["seeds"]), "runs: seed")
        for site in run["sites"]:
            _known(site, sites, "runs: site")
    _check_subgroups(results, methods)
    scopes = {"mean", "worst", *(f"site:{site}" for site in sites)}
    keys = [(row["method"], row["metric"], row["scope"]) for row in results["summary"]]
    _unique(keys, "summary")
    for row in results["summary"]:
        _known(row["method"], methods, "summary: method")
        _known(row["scope"], scopes, "summary: scope")
        _check_interval(row)
    wanted = {(m, metric, scope) for m in methods for metric in _METRICS for scope in scopes}
    missing = sorted(wanted - set(keys))
    if missing:
        raise DataError(f"summary: no entry for {_short(' / '.join(missing[0]))}")


def _check_ledger(run: Results, private: set[Any]) -> None:
    if (run["method"] in private) != ("ledger" in run):
        raise DataError(
            f"run of {_short(run['method'])}: expected a ledger for kind dp and for no other"
        )
    if "ledger" in run and run["ledger"]["spent"] > run["ledger"]["budget"]:
        raise DataError(f"run of {_short(run['method'])}: the ledger spent more than its budget")


def _check_subgroups(results: Results, methods: set[Any]) -> None:
    told = results.get("subgroups", {"groups": [], "summary": []})
    pairs = [(group["attribute"], group["group"]) for group in told["groups"]]
    groups = _unique(pairs, "subgroups")
    keys = []
    for row in told["summary"]:
        _known(row["method"], methods, "subgroups: method")
        _known((row["attribute"], row["group"]), groups, "subgroups: group")
        _check_interval(row)
        keys.append((row["method"], row["attribute"], row["group"], row["metric"]))
    found = _unique(keys, "subgroups: summary")
    wanted = {(m, *g, metric) for m in methods for g in groups for metric in ("auroc", "fnr")}
    missing = sorted(wanted - found)
    if missing:
        raise DataError(f"subgroups: no entry for {_short(' / '.join(missing[0]))}")
    for run in results["runs"]:
        for entry in run.get("subgroups", ()):
            _known((entry["attribute"], entry["group"]), groups, "runs: subgroup")


def _check_interval(row: Results) -> None:
    low, mean, high = row["low"], row["mean"], row["high"]
    if (low is None) != (high is None) or (mean is None and low is not None):
        raise DataError(f"summary of {_short(row['method'])}: an interval with one end")
    if low is not None and not low <= mean <= high:
        raise DataError(
            f"summary of {_short(row['method'])}, {row['metric']}: expected low <= mean <= high, "
            f"got {low}, {mean}, {high}"
        )


def _unique(ids: list[Any], what: str) -> set[Any]:
    seen = set(ids)
    if len(seen) != len(ids):
        raise DataError(f"{what}: expected each entry once, got one twice")
    return seen


def _known(value: Any, known: set[Any], what: str) -> None:
    if value not in known:
        raise DataError(f"{what} {_short(str(value))} is not declared")


def _short(text: str) -> str:
    # Values of a hostile file reach terminals through error messages.
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= _MAX_MESSAGE else clean[: _MAX_MESSAGE - 1] + "…"


def _no_constant(name: str) -> float:
    raise DataError(f"expected finite numbers, got {name}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DataError(f"expected finite numbers, got {_short(text)}")
    return value


def _bounded(text: str) -> int:
    if len(text) > 20:
        raise DataError(f"expected integers of at most 64 bits, got {_short(text)}")
    return int(text)
