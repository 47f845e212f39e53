"""Public schema of a table: all that private preprocessing may know.

Bounds, categories and imputation constants that were read off the patients would leak them, and no
noise covers that leak. So private rows are prepared from this file alone, each number of which
must come from public knowledge, and a draft made from data is refused until it is replaced.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veil.errors import DataError

__all__ = ["DRAFT_MARK", "CategoricalColumn", "NumericColumn", "Schema", "SubgroupRule"]

FORMAT, VERSION = "veil-schema", 1
DRAFT_MARK = "edit me: derived from data, must be replaced by public knowledge"


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """A number between public bounds; `impute` stands for a missing value and is the centre."""

    name: str
    low: float
    high: float
    impute: float
    may_be_missing: bool
    source: str

    def __post_init__(self) -> None:
        _check_common(self.name, self.source)
        numbers = (self.low, self.high, self.impute)
        if not all(_is_number(x) for x in numbers) or not self.low < self.high:
            raise DataError(
                f"schema column {self.name!r}: expected finite low < high, got low={self.low!r}, "
                f"high={self.high!r}, impute={self.impute!r}; write public bounds"
            )
        if not self.low <= self.impute <= self.high:
            raise DataError(
                f"schema column {self.name!r}: expected impute between {self.low} and {self.high}, "
                f"got {self.impute}; write a typical value"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the column as JSON values."""
        return {
            "name": self.name,
            "kind": "numeric",
            "low": self.low,
            "high": self.high,
            "impute": self.impute,
            "may_be_missing": self.may_be_missing,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """One of a public list of categories; `impute` stands for a missing or unlisted one."""

    name: str
    categories: tuple[str, ...]
    impute: str
    may_be_missing: bool
    source: str

    def __post_init__(self) -> None:
        _check_common(self.name, self.source)
        distinct = set(self.categories)
        if len(self.categories) < 2 or len(distinct) != len(self.categories) or "" in distinct:
            raise DataError(
                f"schema column {self.name!r}: expected at least 2 distinct, non-empty categories, "
                f"got {list(self.categories)}; list what the column may hold"
            )
        if self.impute not in distinct:
            raise DataError(
                f"schema column {self.name!r}: expected impute to be one of the categories, got "
                f"{self.impute!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the column as JSON values."""
        return {
            "name": self.name,
            "kind": "categorical",
            "categories": list(self.categories),
            "impute": self.impute,
            "may_be_missing": self.may_be_missing,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class SubgroupRule:
    """How one column divides patients into the groups whose results are shown apart.

    Parameters
    ----------
    column : str
        A column of the schema.
    edges : tuple of float
        Of a numeric column, rising: bands begin at them. Empty: each value is a group.
    labels : tuple of (str, str)
        Names for values, where these are codes.
    """

    column: str
    edges: tuple[float, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        where = f"schema subgroups {self.column!r}"
        if not all(_is_number(e) for e in self.edges) or list(self.edges) != sorted(
            set(self.edges)
        ):
            raise DataError(f"{where}: expected rising, finite edges, got {list(self.edges)}")
        if self.edges and self.labels:
            raise DataError(f"{where}: expected edges or labels, got both; drop one")
        if not all(isinstance(t, str) and t for pair in self.labels for t in pair):
            raise DataError(f"{where}: expected labels from text to text; quote them")

    def bands(self) -> list[str]:
        """Name the bands between the edges, from the lowest."""
        first, last = self.edges[0], self.edges[-1]
        pairs = zip(self.edges, self.edges[1:], strict=False)
        between = [f"{low:g} to below {high:g}" for low, high in pairs]
        return [f"below {first:g}", *between, f"{last:g} and over"]

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON values, without what is empty."""
        values: dict[str, Any] = {"column": self.column}
        if self.edges:
            values["edges"] = list(self.edges)
        if self.labels:
            values["labels"] = dict(self.labels)
        return values


@dataclass(frozen=True, slots=True)
class Schema:
    """What is publicly known of a table's columns.

    Parameters
    ----------
    status : str
        ``draft`` (refused by private methods) or ``public``.
    columns : tuple of NumericColumn or CategoricalColumn
        The columns that a model may use, each with the source of its numbers.
    note : str
        What a reader of the file should know.
    subgroups : tuple of SubgroupRule
        Columns by which results are shown apart, such as sex and age.

    Raises
    ------
    DataError
        If the status is unknown, a column is named twice, or there is none; or subgroups name no
        column, one twice, or a numeric one without edges or labels.
    """

    status: str
    columns: tuple[NumericColumn | CategoricalColumn, ...]
    note: str = ""
    subgroups: tuple[SubgroupRule, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in ("draft", "public"):
            raise DataError(
                f"schema status: expected 'draft' or 'public', got {self.status!r}; write 'public' "
                "once no number comes from the data"
            )
        names = [c.name for c in self.columns]
        if not names or len(set(names)) != len(names):
            raise DataError(f"schema columns: expected distinct columns, at least one, got {names}")
        examined = [rule.column for rule in self.subgroups]
        if len(set(examined)) != len(examined) or not set(examined) <= set(names):
            raise DataError(
                f"schema subgroups: expected distinct columns of the schema, got {examined}; the "
                f"columns are: {', '.join(names)}"
            )
        for rule in self.subgroups:
            self._check_rule(rule)

    def _check_rule(self, rule: SubgroupRule) -> None:
        numeric = isinstance(self.columns[self.names.index(rule.column)], NumericColumn)
        if numeric and not (rule.edges or rule.labels):
            raise DataError(
                f"schema subgroups {rule.column!r}: expected edges of its bands, or labels of its "
                "codes, for a numeric column, got neither"
            )
        if not numeric and rule.edges:
            raise DataError(
                f"schema subgroups {rule.column!r}: expected edges of numeric columns alone"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(c.name for c in self.columns)

    def require_public(self) -> None:
        """Refuse a schema of which any part is still a draft.

        Raises
        ------
        DataError
            If the status is ``draft``, or the source of a column still carries the draft's mark.
        """
        marked = [c.name for c in self.columns if DRAFT_MARK.partition(":")[0] in c.source.lower()]
        if not marked and self.status == "public":
            return
        what = f"columns still marked 'edit me': {', '.join(marked)}" if marked else "status draft"
        raise DataError(
            f"schema: expected public knowledge only, got {what}; private training refuses numbers "
            "taken from the patients. Replace each number by public knowledge (a guideline, a "
            "device's range, a code book), name it in 'source', then set status to 'public'"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "status": self.status,
            "note": self.note,
            "columns": [c.to_dict() for c in self.columns],
            **({"subgroups": [r.to_dict() for r in self.subgroups]} if self.subgroups else {}),
        }

    @classmethod
    def from_dict(cls, values: Any) -> "Schema":
        """Read a schema from JSON values; anything unknown or missing is refused.

        Parameters
        ----------
        values : dict
            As `to_dict` returns it.

        Returns
        -------
        Schema
            The schema.

        Raises
        ------
        DataError
            If the values are not a schema of this version.
        """
        if not isinstance(values, dict):
            raise DataError(f"schema: expected a JSON object, got {type(values).__name__}")
        if (values.get("format"), values.get("version")) != (FORMAT, VERSION):
            raise DataError(
                f"schema: expected format {FORMAT!r} version {VERSION}, got "
                f"{values.get('format')!r} version {values.get('version')!r}; draft one with "
                "veil schema FILE.csv"
            )
        known = {"format", "version", "status", "note", "columns"}
        _only_keys("schema", values, known | ({"subgroups"} & set(values)))
        columns = values["columns"]
        if not isinstance(columns, list):
            raise DataError(f"schema columns: expected a list, got {type(columns).__name__}")
        return cls(
            status=values["status"],
            columns=tuple(_column_from(c) for c in columns),
            note=str(values["note"]),
            subgroups=_rules_from(values.get("subgroups", [])),
        )

    @classmethod
    def read(cls, path: Path) -> "Schema":
        """Read a schema file.

        Parameters
        ----------
        path : Path
            A JSON file.

        Returns
        -------
        Schema
            The schema.

        Raises
        ------
        DataError
            If the file is missing, is not JSON, or is not a schema.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"schema: expected a readable file, got {path} ({error.strerror}); draft one with "
                "veil schema FILE.csv"
            ) from error
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise DataError(f"schema: expected JSON in {path}, got {error}; correct it") from error


_NUMERIC_KEYS = {"name", "kind", "low", "high", "impute", "may_be_missing", "source"}
_CATEGORICAL_KEYS = {"name", "kind", "categories", "impute", "may_be_missing", "source"}


def _column_from(values: Any) -> NumericColumn | CategoricalColumn:
    if not isinstance(values, dict):
        raise DataError(f"schema column: expected an object, got {type(values).__name__}")
    where = f"schema column {values.get('name')!r}"
    kind = values.get("kind")
    if kind not in ("numeric", "categorical"):
        raise DataError(f"{where}: expected kind 'numeric' or 'categorical', got {kind!r}")
    _only_keys(where, values, _NUMERIC_KEYS if kind == "numeric" else _CATEGORICAL_KEYS)
    if not isinstance(values["may_be_missing"], bool):
        raise DataError(
            f"{where}: expected may_be_missing true or false, got {values['may_be_missing']!r}"
        )
    fields = {k: v for k, v in values.items() if k != "kind"}
    if kind == "numeric":
        return NumericColumn(**fields)
    if not isinstance(fields["categories"], list) or not all(
        isinstance(c, str) for c in [*fields["categories"], fields["impute"]]
    ):
        raise DataError(f"{where}: expected categories and impute to be strings; quote them")
    fields["categories"] = tuple(fields["categories"])
    return CategoricalColumn(**fields)


def _rules_from(values: Any) -> tuple[SubgroupRule, ...]:
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise DataError("schema subgroups: expected a list of objects, each with its column")
    rules = []
    for value in values:
        where = f"schema subgroups {value.get('column')!r}"
        _only_keys(where, value, {"column"} | ({"edges", "labels"} & set(value)))
        edges, labels = value.get("edges", []), value.get("labels", {})
        if not isinstance(edges, list) or not isinstance(labels, dict):
            raise DataError(f"{where}: expected edges in a list, and labels in an object")
        rules.append(SubgroupRule(value["column"], tuple(edges), tuple(labels.items())))
    return tuple(rules)


def _only_keys(where: str, values: dict[str, Any], expected: set[str]) -> None:
    if set(values) != expected:
        raise DataError(
            f"{where}: expected the keys {sorted(expected)}, got {sorted(map(str, values))}; add "
            "what is missing and remove the rest"
        )


def _check_common(name: Any, source: Any) -> None:
    if not (isinstance(name, str) and name):
        raise DataError(f"schema column: expected a name, got {name!r}")
    if not (isinstance(source, str) and source.strip()):
        raise DataError(
            f"schema column {name!r}: expected in 'source' where its numbers come from, got "
            f"{source!r}; name a guideline, a device's range or a code book"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
