"""Results per subgroup: right numbers, one threshold, and nothing of groups too small to show."""

import csv
import json

import numpy as np
import pytest

import veil.report
from veil.errors import DataError
from veil.study import StudyOptions, run
from veil.study.schema import NumericColumn, Schema, SubgroupRule
from veil.study.subgroups import FEWEST, Predictions, group_columns, score_groups, summarise_groups


def told(y, p, group, patients=None):
    y = np.array(y)
    ids = np.arange(y.size) if patients is None else np.array(patients)
    return Predictions(y, np.array(p, float), ids, {"sex": np.array(group)})


def scores(*predictions):
    return {entry["group"]: entry for entry in score_groups(predictions)}


def ranked(n, reverse=False):
    """`n` ill and `n` well; the ill rank above the well, or below."""
    probability = np.linspace(0.1, 0.9, 2 * n)
    y = [0] * n + [1] * n
    return y, probability[::-1] if reverse else probability


def test_each_group_is_scored_by_its_own_rows():
    (ya, pa), (yb, pb) = ranked(20), ranked(20, reverse=True)
    found = scores(told(ya, pa, ["a"] * 40), told(yb, pb, ["b"] * 40))
    assert (found["a"]["auroc"], found["a"]["fnr"], found["a"]["n"]) == (1.0, 0.0, 40)
    assert (found["b"]["auroc"], found["b"]["fnr"]) == (0.0, 1.0)
    swapped = scores(told(ya, pa, ["b"] * 40), told(yb, pb, ["a"] * 40))
    assert (swapped["a"]["auroc"], swapped["b"]["fnr"]) == (0.0, 0.0)  # the names matter


def test_one_threshold_holds_for_everybody():
    """A group whose probabilities are lower is missed, though it is ranked perfectly."""
    y, p = ranked(20)
    found = scores(told(y, p, ["high"] * 40), told(y, p * 0.1, ["low"] * 40))
    assert found["low"]["auroc"] == 1.0
    assert found["low"]["fnr"] == 1.0
    assert found["high"]["fnr"] == 0.0
    assert scores(told(y, p * 0.1, ["low"] * 40))["low"]["fnr"] == 0.0  # alone: its own threshold


def test_as_many_rows_are_flagged_as_have_the_outcome_however_rare_it_is():
    y = [1] * 30 + [0] * 270
    p = np.concatenate([np.linspace(0.01, 0.02, 30), np.linspace(0.0, 0.015, 270)])
    found = scores(told(y, p, ["a"] * 300))["a"]
    flagged = np.sort(p)[-30]
    assert found["fnr"] == pytest.approx(np.mean(p[:30] < flagged))
    assert 0.0 < found["fnr"] < 1.0  # at 0.5 nobody would be flagged: 1.0


@pytest.mark.parametrize(("ill", "well"), [(FEWEST - 1, 50), (50, FEWEST - 1), (0, 50)])
def test_a_group_that_is_too_small_shows_neither_scores_nor_size(ill, well):
    y, p = ranked(30)
    small = told([1] * ill + [0] * well, np.linspace(0, 1, ill + well), ["b"] * (ill + well))
    found = scores(told(y, p, ["a"] * 60), small)
    assert found["b"] == {"attribute": "sex", "group": "b", "n": None, "auroc": None, "fnr": None}
    assert found["a"]["n"] == 60


def test_the_least_group_that_is_shown():
    y = [1] * FEWEST + [0] * FEWEST
    assert scores(told(y, np.linspace(0, 1, 2 * FEWEST), ["b"] * 20))["b"]["n"] == 20


def test_patients_are_counted_and_not_rows():
    y = [1] * 40 + [0] * 40
    one_patient = [0] * 40 + list(range(1, 41))
    found = scores(told(y, np.linspace(0, 1, 80), ["a"] * 80, one_patient))
    assert found["a"]["auroc"] is None


def test_rows_of_an_unknown_group_are_in_none():
    y, p = ranked(30)
    assert list(scores(told(y, p, ["a"] * 30 + [""] * 30))) == ["a"]


def test_the_summary_has_intervals_over_seeds_and_orders_bands():
    def entry(group, auroc, n=40):
        return {"attribute": "age", "group": group, "n": n, "auroc": auroc, "fnr": 0.25}

    groups = ["65 and over", "below 45", "45 to below 65"]
    runs = [
        {"method": "m", "seed": s, "subgroups": [entry(g, 0.8 + s / 100) for g in groups]}
        for s in (1, 2, 3)
    ]
    found = summarise_groups(runs, ["m"])
    assert [g["group"] for g in found["groups"]] == ["below 45", "45 to below 65", "65 and over"]
    row = next(r for r in found["summary"] if r["metric"] == "auroc")
    assert (row["mean"], row["n"]) == (pytest.approx(0.82), 3)
    assert row["low"] < 0.82 < row["high"]
    assert str(FEWEST) in found["rule"]
    assert summarise_groups([{"method": "m", "seed": 1}], ["m"]) is None


def column(name):
    return {"name": name, "kind": "numeric", "low": 0, "high": 90, "impute": 50,
            "may_be_missing": False, "source": "adults"}  # fmt: skip


def schema_of(*rules, columns=("age", "sex")):
    return Schema.from_dict(
        {"format": "veil-schema", "version": 1, "status": "public", "note": "",
         "columns": [column(name) for name in columns], "subgroups": list(rules)}
    )  # fmt: skip


SEX = {"column": "sex", "labels": {"0": "female", "1": "male"}}
AGE = {"column": "age", "edges": [45, 65]}


def test_a_schema_with_subgroups_survives_json():
    schema = schema_of(SEX, AGE)
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    assert schema.subgroups[1].bands() == ["below 45", "45 to below 65", "65 and over"]
    assert "subgroups" not in schema_of().to_dict()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "race"}, "expected distinct columns of the schema"),
        ({"column": "age"}, "expected edges of its bands, or labels of its codes"),
        ({"column": "age", "edges": [65, 45]}, "expected rising, finite edges"),
        ({"column": "age", "edges": [45], "labels": {"0": "x"}}, "expected edges or labels"),
        ({"column": "sex", "labels": {"0": ""}}, "expected labels from text to text"),
        ({"column": "sex", "label": {}}, "expected the keys"),
        ({"column": "age", "edges": 45}, "expected edges in a list"),
    ],
)
def test_rules_that_do_not_fit_are_refused(rule, message):
    with pytest.raises(DataError, match=message):
        schema_of(rule)


def test_a_column_named_twice_is_refused():
    with pytest.raises(DataError, match="distinct columns"):
        schema_of(SEX, SEX)
    assert SubgroupRule("sex").to_dict() == {"column": "sex"}
    assert NumericColumn(**{k: v for k, v in column("a").items() if k != "kind"}).name == "a"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study in which the marker predicts the outcome of men and tells nothing of women."""
    folder = tmp_path_factory.mktemp("groups")
    rng = np.random.default_rng(3)
    with (folder / "p.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "sex", "marker", "outcome", "hospital"])
        for i in range(600):
            sex, outcome = int(rng.random() < 0.5), int(rng.random() < 0.5)
            signal = 25 * (outcome if sex else int(rng.random() < 0.5))
            marker = np.clip(rng.normal(30 + signal, 8), 0, 90)
            age = int(rng.integers(20, 90))
            writer.writerow([age, sex, f"{marker:.1f}", outcome, "abc"[i % 3]])
    schema = schema_of(SEX, AGE, columns=("age", "sex", "marker"))
    (folder / "s.json").write_text(json.dumps(schema.to_dict()))
    return run(
        StudyOptions(
            data=folder / "p.csv", target="outcome", site="hospital", schema=folder / "s.json",
            epsilons=(8.0,), rounds=5, dp_rounds=10, sampling_probability=0.5, secagg=False,
        )
    )  # fmt: skip


def summary(study, method, group, metric):
    (row,) = (
        r
        for r in study["subgroups"]["summary"]
        if (r["method"], r["group"], r["metric"]) == (method, group, metric)
    )
    return row


def test_a_study_shows_who_is_served_worse_by_every_method(study):
    for method in ("pooled", "fedavg", "dp-8", "hybrid-8"):
        men, women = (summary(study, method, group, "auroc") for group in ("male", "female"))
        assert men["low"] > 0.9
        assert women["high"] < 0.7
        missed = [summary(study, method, group, "fnr") for group in ("male", "female")]
        assert missed[0]["high"] < missed[1]["low"]
        assert men["n"] == 5
    methods = {r["method"] for r in study["subgroups"]["summary"]}
    assert methods == {m["id"] for m in study["methods"]}
    assert any("small groups" in told.replace("\n", " ") for told in study["caveats"])


def test_the_report_shows_the_groups(study):
    pytest.importorskip("jinja2")
    page = veil.report.page.page(veil.report.loads(veil.report.dumps(study)))
    for shown in ("sex: female", "sex: male", "age: 45 to below 65", "false-negative rate"):
        assert shown in page
    assert study["subgroups"]["rule"] in page


def test_a_summary_that_names_an_unknown_group_is_refused(study):
    broken = json.loads(veil.report.dumps(study))
    broken["subgroups"]["summary"][0]["group"] = "nobody"
    with pytest.raises(DataError, match="subgroups: group"):
        veil.report.loads(json.dumps(broken))
    del broken["subgroups"]["summary"][0]
    with pytest.raises(DataError, match="subgroups: no entry for"):
        veil.report.loads(json.dumps(broken))


def test_data_without_a_schema_names_no_groups(example):
    assert "subgroups" not in example


def test_groups_of_a_cohort_follow_its_schema():
    from types import SimpleNamespace

    from veil.study.datasets.table import Column

    cohort = SimpleNamespace(
        schema=schema_of(SEX, AGE),
        columns=(
            Column("age", np.array([44.9, 45.0, 65.0, np.nan])),
            Column("sex", np.array([0.0, 1.0, np.nan, 1.0])),
        ),
    )
    found = group_columns(cohort)
    assert found["age"].tolist() == ["below 45", "45 to below 65", "65 and over", ""]
    assert found["sex"].tolist() == ["female", "male", "", "male"]
