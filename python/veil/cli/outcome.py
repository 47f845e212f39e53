"""What a finished study prints: the answer, a small table, and where the files are."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from veil.report.answer import answer
from veil.report.model import Model
from veil.report.results import Results
from veil.report.text import clean

__all__ = ["show"]


def show(results: Results, written: list[Path]) -> None:
    """Print the outcome of a study on the terminal.

    Parameters
    ----------
    results : dict
        A valid study.
    written : list of path
        Its files.
    """
    console = Console(highlight=False, markup=False, soft_wrap=False)
    model = Model(results)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("method")
    for heading in ("AUROC", "worst site", "moved", "seconds"):
        table.add_column(heading, justify="right")
    for method in model.methods:
        cells = (
            method.label,
            model.estimate(method, "auroc", "mean").sentence,
            model.estimate(method, "auroc", "worst").sentence,
            method.moved,
            method.seconds,
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    for sentence in answer(results):
        console.print(clean(sentence))
    if results["simulated"]:
        console.print("Simulated noise: the models of this study carry no privacy guarantee.")
    console.print()
    for path in written:
        print(path)
