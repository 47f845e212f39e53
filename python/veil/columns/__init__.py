"""Columns of a table, in any container, and the keys that say whose each row is.

A leaf: every layer may use it, so that one patient is one unit everywhere, or the rows are refused.
"""

from veil.columns.entries import as_text, as_whole, entries, families
from veil.columns.keys import owners, unit_keys, written

__all__ = ["as_text", "as_whole", "entries", "families", "owners", "unit_keys", "written"]
