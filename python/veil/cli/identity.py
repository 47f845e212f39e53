"""``veil identity``: a site's key, and what its neighbours write into their roster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veil.cli.guard import guarded

if TYPE_CHECKING:
    from veil.secagg import Identity

__all__ = ["identity"]

identity = typer.Typer(
    no_args_is_help=True,
    help="Make or show a site's identity: the key that signs its part of a secure sum.",
)

_Key = Annotated[Path, typer.Argument(metavar="SITE.key", help="The site's key file.")]
_Name = Annotated[str | None, typer.Option(metavar="SITE", help="The site's name in the roster.")]


@identity.command()
@guarded
def new(file: _Key, name: _Name = None) -> None:
    """Make a key, readable by you alone, and print its public part.

    The file never leaves this site. Send the printed line to the others, and read the fingerprint
    to them by telephone: who can change the line on its way could join in the site's name.
    """
    from veil.secagg import Identity

    if file.exists():
        raise ValueError(f"{file}: exists; a key is never overwritten, choose another file")
    _show(Identity.new(file), name or file.stem)


@identity.command()
@guarded
def show(file: _Key, name: _Name = None) -> None:
    """Print the public part of a key and its fingerprint."""
    from veil.secagg import Identity

    _show(Identity.load(file), name or file.stem)


@identity.command()
@guarded
def roster(
    lines: Annotated[
        list[str], typer.Argument(metavar="SITE=KEY...", help="Each site's line, as sent.")
    ],
    out: Annotated[Path, typer.Option(metavar="ROSTER.json", help="File to write.")],
) -> None:
    """Write the roster, the same file for every party, and print its fingerprint.

    Compare the fingerprint by voice before the first round: all sites must read the same.
    """
    from veil.secagg import Roster
    from veil.secagg.identity import fingerprint

    if out.exists():
        raise ValueError(f"{out}: exists; move it away first")
    parts = [line.partition("=") for line in lines]
    names = [name for name, _, _ in parts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"roster: site {twice[0]!r} is named twice")
    found = Roster.from_dict(
        {"format": "veil/roster/1", "sites": {name: key for name, _, key in parts}}
    )
    found.write(out)
    width = max(map(len, found.names))
    for name in found.names:
        print(f"{name:<{width}}  {fingerprint(found.sites[name])}")
    print(f"roster {found.fingerprint}")


def _show(found: "Identity", name: str) -> None:
    from veil.secagg.identity import fingerprint, public_text

    if not name.isprintable() or "=" in name or not name.strip():
        raise ValueError(f"name: expected plain text without '=', got {name!r}")
    print(f"{name}={public_text(found.public)}")
    print(f"fingerprint {fingerprint(found.public)}")
