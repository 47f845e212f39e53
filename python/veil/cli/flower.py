"""``veil flower new``: a complete Flower app over secure sums, written into a new folder."""

import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veil.cli.guard import guarded

if TYPE_CHECKING:
    from veil.study import Cohort

__all__ = ["flower"]

flower = typer.Typer(no_args_is_help=True, help="Write a Flower app that trains over secure sums.")

_FEWEST = 3


@flower.callback()
def _group() -> None:
    pass


@flower.command()
@guarded
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Patients of all sites, for a trial on this machine.",
            show_default="UCI Heart Disease",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column to predict.")] = None,
    site: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that names the hospital.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(metavar="SCHEMA.json", help="Public schema (veil schema drafts one)."),
    ] = None,
    patient: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that identifies the patient.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Value of the target that is a case.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder with heart_disease/.", show_default="VEIL_DATA_DIR"),
    ] = None,
) -> None:
    """Write an app that `flwr run` starts as it is, with keys for a trial on this machine.

    The patients are read to check that they fit the schema; none of their values is written.
    """
    if folder.exists():
        raise ValueError(f"{folder}: exists; name a folder that does not")
    if data is not None and (target is None or site is None or schema is None):
        raise ValueError(
            "--data: needs --target, --site and --schema too: hospitals encode their columns by "
            "public knowledge alone (draft it with: veil schema FILE.csv --out schema.json)"
        )
    from veil.study import StudyOptions, load_cohort

    columns = {"target": target, "site": site, "patient": patient, "positive": positive}
    chosen: dict[str, Any] = {"data": data, "schema": schema, "data_dir": data_dir, **columns}
    given = {name: value for name, value in chosen.items() if value is not None}
    cohort = load_cohort(StudyOptions(**({"dataset": "heart-disease"} | given)))
    values = _values(folder, cohort, data, data_dir)
    _write(folder, values | {name: repr(value) for name, value in columns.items()}, cohort)
    print(f"{folder}: an app of {len(cohort.site_ids)} sites; {folder}/README.md says how to go on",
          file=sys.stderr)  # fmt: skip


def _values(
    folder: Path, cohort: "Cohort", data: Path | None, data_dir: Path | None
) -> dict[str, str]:
    from veil.study.preprocess import public_encoder

    assert cohort.schema is not None
    features = public_encoder(cohort.schema, cohort.columns).features
    for name in cohort.site_ids:
        _check_name(name)
    n = len(cohort.site_ids)
    dropout, corrupt = _thresholds(n)
    local = data or data_dir
    shown = "" if data is None else ' data="/path/to/this/site.csv"'
    return {
        "name": re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "veil-app",
        "package": "veil_app",
        "title": cohort.title,
        "n": str(n),
        "first": cohort.site_ids[0],
        "features": str(len(features)),
        "min_survivors": str(n - dropout),
        "max_corrupt": str(corrupt),
        "data": shown,
        "local_data": "" if local is None else f' data=\\"{local.resolve()}\\"',
    }


def _thresholds(n: int) -> tuple[int, int]:
    """How many sites may vanish, and how many may collude, in a session of `n`."""
    if n < _FEWEST:
        raise ValueError(f"sites: expected at least {_FEWEST}, got {n}: two hide nothing")
    corrupt = 1
    shares = (n + corrupt) // 2 + 1  # what a malicious server must not reach by itself
    return min(max(1, n // 5), n - shares), corrupt


def _write(folder: Path, values: dict[str, str], cohort: "Cohort") -> None:
    from veil.secagg import Identity, Roster

    for relative, text in _templates():
        path = folder / relative.replace("app/", f"{values['package']}/").removesuffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, values), encoding="utf-8")
    (folder / "local.sh").chmod(0o755)
    local = folder / "local"
    local.mkdir(mode=0o700)
    (local / ".gitignore").write_text("*\n")
    keys = {name: Identity.new(local / f"{name}.key").public for name in cohort.site_ids}
    package = folder / values["package"]
    Roster(keys).write(package / "roster.json")
    assert cohort.schema is not None
    schema = json.dumps(cohort.schema.to_dict(), indent=1, ensure_ascii=False)
    (package / "schema.json").write_text(schema + "\n", encoding="utf-8")


def _check_name(site: str) -> None:
    if not re.fullmatch(r"\w[\w .-]*", site):
        raise ValueError(
            f"site {site!r}: expected a name of letters, digits, spaces, '.', '-' and '_'; "
            "rename it in the data"
        )


def _templates() -> Iterator[tuple[str, str]]:
    root: Any = resources.files("veil.cli").joinpath("templates", "flower")
    for folder, prefix in ((root, ""), (root.joinpath("app"), "app/")):
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            if file.is_file():
                yield prefix + file.name, file.read_text("utf-8")


def _filled(text: str, values: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return values[found[1]]

    return re.sub(r"@@(\w+)@@", value, text)
