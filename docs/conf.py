"""Sphinx configuration; `make docs` builds with warnings as errors."""

import importlib.metadata
import re

project = "Veil"
author = "The Veil authors"
copyright = author
version = release = importlib.metadata.version("veil")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"Veil {release}"

# `__all__` of a package names what it offers, wherever that is defined.
autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give shape and unit with the type
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are documented once


def as_code(match):
    """Turn `x` into ``x``; a letter right after it needs an escaped space."""
    text, follower = match.groups()
    return f"``{text}``" + (f"\\ {follower}" if follower else "")


def as_text(piece):
    """Escape |x| and x_ before a sign, which reStructuredText takes for references."""
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", piece.replace("|", r"\|"))


def as_plain_text(app, what, name, obj, options, lines):
    """Show `x` of a docstring as code, numpydoc's meaning of it, and |x| as an absolute value."""
    for index, line in enumerate(lines):
        if line.lstrip().startswith(">>>"):
            continue
        pieces = re.split(r"(``.+?``)", line)
        pieces[::2] = [
            re.sub(r"(?<![:\w])`([^`]+)`(?!_)(\w?)", as_code, as_text(piece))
            for piece in pieces[::2]
        ]
        lines[index] = "".join(pieces)


def setup(app):
    """Register the docstring filter."""
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)
