"""Reports of a study: one HTML file, ``results.json`` with a documented schema, one picture."""

from veil.report.files import replace_all
from veil.report.results import MAX_BYTES, dumps, load, loads, schema
from veil.report.write import write

__all__ = [
    "MAX_BYTES",
    "dumps",
    "load",
    "loads",
    "replace_all",
    "schema",
    "write",
]
