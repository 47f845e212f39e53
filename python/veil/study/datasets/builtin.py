"""Public schemas of the built-in data sets, as files inside the package."""

import json
from importlib import resources

from veil.study.schema import Schema

__all__ = ["builtin_schema"]


def builtin_schema(name: str) -> Schema:
    """Read the documented ranges of a built-in data set.

    Parameters
    ----------
    name : str
        Name of the file in ``veil/study/datasets/schemas``, without suffix.

    Returns
    -------
    Schema
        The schema, each column with its source.
    """
    folder = resources.files("veil.study.datasets").joinpath("schemas")
    return Schema.from_dict(json.loads(folder.joinpath(f"{name}.json").read_text("utf-8")))
