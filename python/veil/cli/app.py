"""The commands, in the order in which a newcomer meets them."""

import inspect
import sys
from typing import Annotated

import typer

from veil import __version__
from veil.cli.account import account
from veil.cli.flower import flower
from veil.cli.guard import INTERRUPTED
from veil.cli.identity import identity
from veil.cli.info import info
from veil.cli.ledger import ledger
from veil.cli.report import report
from veil.cli.schema import schema
from veil.cli.study import study

__all__ = ["app", "main"]

_HELP = """\
Privacy-preserving machine learning for hospitals.

Veil answers one question before anybody signs anything: [bold]what do the hospitals gain by
training together, and what does privacy cost?[/bold] It trains the same model in four ways (each
site alone, all data pooled, federated, and federated with differential privacy) and writes one
report that you can mail on.

Nothing leaves this computer: every command works on local files and opens no connection.
"""

_EPILOG = """\
Start with [bold]veil study --quick[/bold]: real patients, no files needed, under a minute.

Then your own: [bold]veil study --data patients.csv --target outcome --site hospital[/bold]
"""

app = typer.Typer(
    name="veil",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # its tracebacks print local variables: patients' values
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _flowing(text: str | None) -> str:
    """Join the lines of each paragraph: typer would keep a docstring's line breaks."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for command in (study, schema, report, account, info):
    app.command(help=_flowing(command.__doc__))(command)
app.add_typer(ledger, name="ledger")
app.add_typer(identity, name="identity")
app.add_typer(flower, name="flower")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"veil {__version__}")
        raise typer.Exit


@app.callback(help=_flowing(_HELP), epilog=_EPILOG)
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit.

    Raises
    ------
    SystemExit
        Always: 0 for success, 2 for a refused input, 130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ε still gets the numbers
    try:
        app(prog_name="veil")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
