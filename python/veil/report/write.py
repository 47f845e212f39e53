"""Writing a report: everything is rendered before anything is written."""

import pathlib

from veil.report.files import replace_all
from veil.report.page import page
from veil.report.picture import picture
from veil.report.results import Results, dumps, loads

__all__ = ["write"]


def write(results: Results, out_dir: str | pathlib.Path) -> list[pathlib.Path]:
    """Write ``report.html``, ``results.json`` and ``tradeoff.png``: all of them, or none.

    Parameters
    ----------
    results : dict
        A study, valid against :func:`veil.report.schema`.
    out_dir : str or path
        Directory; created if absent, its files of these names replaced.

    Returns
    -------
    list of path
        The written files.

    Raises
    ------
    ~veil.errors.DataError
        If the results are not valid or the page would be larger than 1 MiB.
    ImportError
        If jinja2, jsonschema or matplotlib is not installed; the message names the extra.
    OSError
        If the directory cannot be written.

    Notes
    -----
    Rendering is deterministic: the same results give the same bytes of HTML and JSON.
    """
    text = dumps(results)
    checked = loads(text)  # what is drawn is what a reader of the file will draw
    files = {
        "results.json": text.encode(),
        "report.html": page(checked).encode(),
        "tradeoff.png": picture(checked),
    }
    return replace_all(out_dir, files)
