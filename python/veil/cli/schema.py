"""``veil schema``: draft the public schema that private training on a CSV needs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from veil.cli.guard import guarded

__all__ = ["schema"]


@guarded
def schema(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Patients, one header line.")],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column to predict: no input of the model.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that names the hospital.")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that identifies the patient.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="SCHEMA.json", help="File to write.", show_default="the terminal"),
    ] = None,
) -> None:
    """Draft a public schema for a CSV file.

    Private training must not learn bounds, categories or fill-in values from patients, for such
    numbers reveal them. The draft lists every column with what the data holds; [bold]replace each
    number by public knowledge[/bold] (a clinical range, a code list), say in "source" where it
    comes from, and set "status" to "public". A study refuses the draft as it is.

    Keep the draft at the site: its numbers are read off the patients.
    """
    from veil.report import replace_all
    from veil.study import draft_schema

    if out is not None and out.exists():
        raise ValueError(f"{out}: exists; move it away first, for it may hold edits of yours")
    draft = draft_schema(file, target=target, site=site, patient=patient)
    text = json.dumps(draft.to_dict(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        print(text, end="")
        return
    replace_all(out.parent, {out.name: text.encode()})
    print(f"{out}: edit each column, then pass it to veil study --schema", file=sys.stderr)
