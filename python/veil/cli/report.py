"""``veil report``: draw a report again from its numbers."""

from pathlib import Path
from typing import Annotated

import typer

from veil.cli.guard import guarded

__all__ = ["report"]


@guarded
def report(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS.json", help="The results.json of a study.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the files go.", show_default="beside RESULTS.json"),
    ] = None,
) -> None:
    """Draw report.html and tradeoff.png again from a results.json.

    The file is checked against its schema first; a damaged one is refused and the place named.
    """
    import veil.report

    for path in veil.report.write(veil.report.load(results), out or results.parent):
        print(path)
