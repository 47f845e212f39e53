"""results.json: its schema, and what a damaged file is told."""

import json

import pytest

import veil
from veil.errors import DataError
from veil.report import MAX_BYTES, dumps, load, loads, schema

jsonschema = pytest.importorskip("jsonschema")


def described(node):
    """Yield every declared property of a schema with its subschema."""
    for name, child in node.get("properties", {}).items():
        yield name, child
        yield from described(child)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from described(node[key])


def test_schema_is_valid_2020_12():
    assert schema()["$schema"].endswith("2020-12/schema")
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_field_of_the_schema_is_described():
    document = schema()
    fields = [*described(document)]
    for shared in document["$defs"].values():
        fields += described(shared)
    assert len(fields) > 90
    assert [name for name, child in fields if len(child.get("description", "")) < 7] == []


def test_schema_returns_a_fresh_copy():
    veil.report.schema()["properties"].clear()
    assert "runs" in veil.report.schema()["properties"]


def test_a_study_survives_writing_and_reading(results, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(dumps(results), encoding="utf-8")
    assert load(path) == results


def test_a_study_with_one_seed_and_a_site_of_one_class_is_valid(make_study, resummarise):
    results = make_study(seeds=(7,))
    for run in results["runs"]:
        run["sites"]["north"]["auroc"] = None
    results["summary"] = resummarise(results)
    assert loads(dumps(results)) == results


def test_a_private_run_needs_its_ledger_within_budget(results):
    (private, *_) = [run for run in results["runs"] if "ledger" in run]
    book = private.pop("ledger")
    with pytest.raises(DataError, match="expected a ledger for kind dp"):
        loads(dumps(results))
    results["runs"][0]["ledger"] = book
    with pytest.raises(DataError, match="expected a ledger for kind dp"):
        loads(dumps(results))
    del results["runs"][0]["ledger"]
    private["ledger"] = {**book, "spent": 1.01 * book["budget"]}
    with pytest.raises(DataError, match="spent more than its budget"):
        loads(dumps(results))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_values_that_json_cannot_hold_are_not_written(results, value):
    results["runs"][0]["seconds"] = value
    with pytest.raises(DataError, match="finite JSON"):
        dumps(results)


def break_it(results, path, value):
    *parents, last = path
    node = results
    for key in parents:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return results


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("format",), "other", "format"),
        (("version",), 2, "version"),
        (("runs",), None, "runs"),
        (("summary", 0), None, "no entry for local / auroc / mean"),
        (("extra",), 1, "extra"),
        (("runs", 0, "method"), "nobody", "nobody is not declared"),
        (("runs", 0, "seed"), 99, "99 is not declared"),
        (("runs", 0, "seed"), 1, "runs: expected each entry once"),
        (
            ("runs", 0, "sites", "mars"),
            {"n_test": 1, "auroc": 1, "accuracy": 1, "brier": 0},
            "mars",
        ),
        (("runs", 0, "sites", "north", "auroc"), 1.5, "runs/0/sites/north/auroc"),
        (("runs", 0, "bytes_up"), -1, "bytes_up"),
        (("methods", 0, "kind"), "magic", "methods/0/kind"),
        (("methods", 0, "epsilon"), 3.0, "method local: expected an epsilon for kind dp"),
        (("methods", 1, "id"), "local", "methods: expected each entry once"),
        (("summary", 0, "low"), 0.9999, "low <= mean <= high"),
        (("privacy", "delta"), 0, "privacy/delta"),
        (("dataset", "sites"), [], "dataset/sites"),
    ],
)
def test_a_damaged_study_is_refused_and_the_place_named(results, path, value, said):
    damaged = json.dumps(break_it(results, path, value))
    with pytest.raises(DataError) as refused:
        loads(damaged)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "NaN", '{"a": 1e999}', "[" * 100_000, "1" * 5000, '"' + "x" * 100_000],
)
def test_what_is_no_study_is_refused_in_a_short_message(text):
    with pytest.raises(DataError) as refused:
        loads(text)
    assert len(str(refused.value)) < 800


def test_a_hostile_value_reaches_the_message_short_and_printable(results):
    results["methods"][0]["kind"] = "\x1b[2J" * 10_000
    with pytest.raises(DataError) as refused:
        loads(dumps(results))
    assert len(str(refused.value)) < 800
    assert str(refused.value).isprintable()


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"results\.json"):
        load(path)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "results.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="at most 64 MiB"):
        load(path)
