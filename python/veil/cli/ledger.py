"""``veil ledger``: what a ledger file holds, and whether it can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veil.cli.guard import guarded

if TYPE_CHECKING:
    from veil.dp._book import Book

__all__ = ["ledger"]

ledger = typer.Typer(
    no_args_is_help=True,
    help="Make, show or check a privacy ledger: the file in which each private release is charged.",
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The ledger's file.")]


@ledger.command()
@guarded
def new(
    file: _File,
    epsilon: Annotated[float, typer.Option(metavar="ε", help="Budget, for all that is charged.")],
    delta: Annotated[
        float, typer.Option(metavar="δ", help="Below one over the number of those it protects.")
    ],
    unit: Annotated[
        str, typer.Option(metavar="NAME", help="Whom it protects: patient, record or site.")
    ],
    relation: Annotated[
        str,
        typer.Option(metavar="NAME", help="add-or-remove-one, zero-out (sites) or replace-one."),
    ],
    mode: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="planned: one plan, fixed first. adaptive: whatever fits, later."
        ),
    ],
    population: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whose releases it counts, such as the site's name; others are refused.",
        ),
    ] = None,
) -> None:
    """Make a ledger; an existing file is never overwritten.

    One ledger counts everything that is released about the same patients. Budget, unit, relation
    and mode are fixed now.
    """
    from veil.dp import Ledger

    if file.exists():
        raise ValueError(f"{file}: exists; a ledger is never overwritten")
    made = Ledger(
        epsilon=epsilon,
        delta=delta,
        unit=unit,
        relation=relation,
        mode=mode,
        path=file,
        population=population,
    )
    print(f"{file}: epsilon = {epsilon:g} at delta = {delta:g} for every {unit}")
    print(f"head {made.head}")


@ledger.command()
@guarded
def show(file: _File) -> None:
    """Show the budget, what is spent by label, and the head to keep elsewhere.

    The file is only read, and its hash chain checked.
    """
    from veil.dp._replay import read_ledger
    from veil.dp._spent import spent_of

    book, records, hashes, torn = read_ledger(file)
    spent = spent_of(book)
    settings = book.settings
    rows = {
        "budget": f"epsilon = {settings.epsilon:g} at delta = {settings.delta:g}",
        "unit": f"{settings.unit}, under {settings.relation}",
        "mode": settings.mode,
        "spent": f"epsilon = {spent.epsilon:.6g} ({spent.accountant})",
        "if fixed in advance": _if_fixed(book),
        "slack": f"{spent.slack:.3g}",
        "releases": f"{spent.releases}, in {len(records)} records",
        "head": hashes[-1],
    }
    if settings.population is not None:
        rows["population"] = _printable(settings.population)
    if settings.mode == "planned":
        del rows["if fixed in advance"]
    if torn:
        rows["torn"] = f"{torn} bytes of a charge that was never answered"
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    if spent.by_label:
        print(f"\n{'epsilon alone':>13}  {'runs':>6}  label")
        for label, epsilon, runs in spent.by_label:
            print(f"{epsilon:13.6g}  {runs:6d}  {_printable(label)}")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _if_fixed(book: "Book") -> str:
    from veil.errors import UnsupportedEvent

    try:
        return f"epsilon = {book.epsilon_if_fixed(book.commitments()):.6g}"
    except UnsupportedEvent:
        return "no single accountant supports every event"


@ledger.command()
@guarded
def verify(
    file: _File,
    head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A head that was kept elsewhere: shows cutting back."),
    ] = None,
) -> None:
    """Check the hash chain, and with --head that nothing was cut off.

    Without --head an older, whole state of the file looks as good as the file.
    """
    from veil.dp import verify_ledger

    found = verify_ledger(file, head=head)
    print(f"{file}: {found['records']} records, chain intact")
    if found["torn_bytes"]:
        print(f"{found['torn_bytes']} bytes of a charge that was never answered follow")
    if head is None:
        print("not checked against a head kept elsewhere: an older state would look the same")
    else:
        print(f"the head given is there; {found['since_head']} records since")
    print(f"head {found['head']}")
