"""A schema is public knowledge, or private training refuses it."""

import json

import pytest

from veil.errors import DataError
from veil.study import Schema, draft_schema
from veil.study.datasets.builtin import builtin_schema
from veil.study.schema import DRAFT_MARK, CategoricalColumn, NumericColumn

AGE = NumericColumn("age", 0.0, 120.0, 50.0, may_be_missing=False, source="human lifespan")
SEX = CategoricalColumn("sex", ("f", "m"), "f", may_be_missing=True, source="code book")


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "ward.csv"
    path.write_text("id,age,sex,sick,ward\n1,40,f,0,a\n2,?,m,1,a\n3,63.5,,1,b\n4,71,m,0,b\n")
    return path


def test_draft_holds_what_the_file_shows_and_marks_every_column(csv):
    draft = draft_schema(csv, target="sick", site="ward", patient="id")
    assert draft.status == "draft"
    age, sex = draft.columns
    assert (age.low, age.high, age.impute, age.may_be_missing) == (40.0, 71.0, 63.5, True)
    assert (sex.categories, sex.impute, sex.may_be_missing) == (("f", "m"), "m", True)
    assert {c.source for c in draft.columns} == {DRAFT_MARK}


def test_draft_is_refused_until_every_mark_and_the_status_are_replaced(csv):
    values = draft_schema(csv, target="sick", site="ward", patient="id").to_dict()
    with pytest.raises(DataError, match="still marked 'edit me': age, sex"):
        Schema.from_dict(values).require_public()
    values["status"] = "public"
    with pytest.raises(DataError, match="still marked 'edit me': age, sex"):
        Schema.from_dict(values).require_public()
    values["columns"][0]["source"] = "human lifespan"
    with pytest.raises(DataError, match="still marked 'edit me': sex"):
        Schema.from_dict(values).require_public()
    values["columns"][1]["source"] = "code book"
    Schema.from_dict(values).require_public()
    values["status"] = "draft"
    with pytest.raises(DataError, match="got status draft"):
        Schema.from_dict(values).require_public()


def test_mark_is_recognised_however_it_is_written():
    column = NumericColumn("x", 0.0, 1.0, 0.5, may_be_missing=False, source="EDIT ME later")
    with pytest.raises(DataError, match="edit me"):
        Schema("public", (column,)).require_public()


def test_draft_names_a_column_that_is_not_there(csv):
    with pytest.raises(DataError, match=r"got \['outcome'\]; the columns are: id, age"):
        draft_schema(csv, target="outcome")


@pytest.mark.parametrize("name", ["breast_cancer", "heart_disease", "diabetes130"])
def test_built_in_schemas_are_public_and_name_their_sources(name):
    schema = builtin_schema(name)
    schema.require_public()
    assert all(len(c.source) > 20 for c in schema.columns)


def test_schema_survives_a_file(tmp_path):
    schema = Schema("public", (AGE, SEX), "note")
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema.to_dict()))
    assert Schema.read(path) == schema


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (dict(low=1.0, high=1.0, impute=1.0), "expected finite low < high"),
        (dict(low=0.0, high=float("inf"), impute=1.0), "expected finite low < high"),
        (dict(low=0.0, high="9", impute=1.0), "expected finite low < high"),
        (dict(low=0.0, high=True, impute=0.5), "expected finite low < high"),
        (dict(low=0.0, high=1.0, impute=2.0), "expected impute between"),
        (dict(low=0.0, high=1.0, impute=0.5, source=" "), "expected in 'source'"),
        (dict(low=0.0, high=1.0, impute=0.5, name=""), "expected a name"),
    ],
)
def test_numeric_column_without_meaning_is_refused(column, message):
    with pytest.raises(DataError, match=message):
        NumericColumn(**{"name": "x", "may_be_missing": False, "source": "s", **column})


@pytest.mark.parametrize(
    ("categories", "impute", "message"),
    [
        (("a",), "a", "at least 2 distinct"),
        (("a", "a"), "a", "at least 2 distinct"),
        (("a", ""), "a", "non-empty"),
        (("a", "b"), "c", "expected impute to be one of"),
    ],
)
def test_categorical_column_without_meaning_is_refused(categories, impute, message):
    with pytest.raises(DataError, match=message):
        CategoricalColumn("x", categories, impute, may_be_missing=False, source="s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="other"), "expected format 'veil-schema'"),
        (lambda v: v.update(version=2), "version 2"),
        (lambda v: v.update(status="final"), "expected 'draft' or 'public'"),
        (lambda v: v.update(extra=1), "expected the keys"),
        (lambda v: v.pop("note"), "expected the keys"),
        (lambda v: v.update(columns={}), "expected a list"),
        (lambda v: v.update(columns=[]), "at least one"),
        (lambda v: v["columns"].append(v["columns"][0]), "expected distinct columns"),
        (lambda v: v["columns"].append(7), "expected an object"),
        (lambda v: v["columns"][0].update(kind="date"), "expected kind"),
        (lambda v: v["columns"][0].pop("source"), "expected the keys"),
        (lambda v: v["columns"][0].update(may_be_missing=1), "may_be_missing true or false"),
        (lambda v: v["columns"][1].update(categories=["f", 1]), "to be strings"),
    ],
)
def test_file_that_is_no_schema_is_refused(change, message):
    values = Schema("public", (AGE, SEX)).to_dict()
    change(values)
    with pytest.raises(DataError, match=message):
        Schema.from_dict(values)


def test_unreadable_schema_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected a readable file"):
        Schema.read(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match="expected JSON"):
        Schema.read(tmp_path / "broken.json")
    with pytest.raises(DataError, match="expected a JSON object"):
        Schema.from_dict([])
