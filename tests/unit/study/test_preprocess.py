"""Preprocessing is learnt from training rows, or from public knowledge alone."""

import numpy as np
import pytest

from veil.errors import DataError
from veil.study.datasets.table import Cohort, Column
from veil.study.preprocess import fit_encoders, public_encoder
from veil.study.schema import CategoricalColumn, NumericColumn, Schema
from veil.study.split import split_patients, training_patients

NAN = np.nan
AGE = Column("age", np.array([10.0, 30.0, NAN, 50.0, 70.0, NAN]))
SEX = Column("sex", np.array(["f", "m", "", "m", "x", "f"]))
SITES = np.array(["a", "a", "a", "b", "b", "b"])


def cohort(columns=(AGE, SEX), standardise="federation", labels=None, sites=SITES, patients=None):
    n = len(sites)
    return Cohort(
        name="t",
        title="t",
        source="t",
        licence="",
        target="y",
        positive="1",
        columns=tuple(columns),
        labels=np.array([0, 1] * (n // 2), dtype=np.int8) if labels is None else labels,
        sites=sites,
        patients=np.arange(n) if patients is None else patients,
        standardise=standardise,
        test_fraction=0.3,
        schema=None,
    )


ROWS = {"a": np.array([0, 1, 2]), "b": np.array([3, 4])}


def test_missing_values_take_the_sites_own_mean_and_an_indicator():
    encoders = fit_encoders(cohort(), ROWS)
    assert encoders["a"].columns[0].impute == 20.0
    assert encoders["b"].columns[0].impute == 60.0
    assert encoders["a"].features == ("age", "age missing", "sex=m", "sex=x", "sex missing")
    assert encoders["a"].features == encoders["b"].features


def test_federated_features_have_mean_0_and_deviation_1_over_all_training_rows():
    data = cohort()
    encoders = fit_encoders(data, ROWS)
    x = np.concatenate([encoders[s].encode(data.columns, ROWS[s]) for s in ROWS])
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-12)


def test_per_site_features_have_mean_0_and_deviation_1_at_each_site():
    data = cohort(standardise="site")
    encoders = fit_encoders(data, ROWS)
    x = encoders["b"].encode(data.columns, ROWS["b"])
    np.testing.assert_allclose(x[:, 0], [-1, 1])
    np.testing.assert_allclose(x[:, 1], [0, 0])  # no spread at b: centred only


def test_held_out_rows_change_nothing():
    before = fit_encoders(cohort(), ROWS)["b"]
    changed = [
        Column("age", np.where(np.arange(6) == 5, 1e9, AGE.values)),
        Column("sex", np.where(np.arange(6) == 5, "z", SEX.values)),
    ]
    after = fit_encoders(cohort(changed), ROWS)["b"]
    assert after.columns == before.columns
    assert np.array_equal(after.centre, before.centre)
    assert np.array_equal(after.scale, before.scale)


def test_category_never_seen_in_training_gives_zeros_before_centring():
    encoder = fit_encoders(cohort([SEX]), {"a": np.array([0, 1])})["a"]
    raw = encoder.columns[0].encode(np.array(["x"]))
    assert [float(f[0]) for f in raw] == [0.0]


def test_site_that_never_measured_a_column_takes_the_others_mean():
    age = Column("age", np.array([10.0, 30.0, 20.0, NAN, NAN, NAN]))
    assert fit_encoders(cohort([age]), ROWS)["b"].columns[0].impute == 20.0
    alone = fit_encoders(cohort([age]), {"b": ROWS["b"]})["b"]
    assert np.isfinite(alone.encode([age], ROWS["b"])).all()


SCHEMA = Schema(
    "public",
    (
        NumericColumn("age", 0.0, 80.0, 40.0, may_be_missing=True, source="s"),
        CategoricalColumn("sex", ("f", "m"), "f", may_be_missing=False, source="s"),
    ),
)


def test_public_encoder_clips_centres_and_scales_by_the_schema():
    age = Column("age", np.array([-100.0, 40.0, 60.0, 1e6, NAN]))
    sex = Column("sex", np.array(["f", "m", "x", "", "m"]))
    x = public_encoder(SCHEMA, [age, sex]).encode([age, sex], np.arange(5))
    assert x.tolist() == [[-2, 0, 0], [0, 0, 1], [1, 0, 0], [2, 0, 0], [0, 1, 1]]


def test_public_encoding_of_a_patient_does_not_depend_on_the_others():
    encoder = public_encoder(SCHEMA, [AGE, SEX])
    together = encoder.encode([AGE, SEX], np.arange(6))
    for i in range(6):
        columns = [Column(c.name, c.values[[i]]) for c in (AGE, SEX)]
        assert np.array_equal(
            public_encoder(SCHEMA, columns).encode(columns, np.array([0])), together[[i]]
        )


def test_public_encoder_refuses_drafts_absent_columns_and_other_kinds():
    with pytest.raises(DataError, match="status draft"):
        public_encoder(Schema("draft", SCHEMA.columns), [AGE, SEX])
    with pytest.raises(DataError, match="got no column 'sex'"):
        public_encoder(SCHEMA, [AGE])
    with pytest.raises(DataError, match="'sex': expected categories"):
        public_encoder(SCHEMA, [AGE, Column("sex", np.array([0.0, 1.0]))])


def many(n=200):
    rng = np.random.default_rng(0)
    return cohort(
        [Column("v", rng.normal(size=n))],
        labels=(np.arange(n) % 5 == 0).astype(np.int8),
        sites=np.array(["a", "b"])[np.arange(n) // 2 % 2],
        patients=np.arange(n) // 4 * 2 + np.arange(n) // 2 % 2,  # two rows each
    )


def test_split_keeps_patients_whole_and_both_classes_on_both_sides():
    data = many()
    train = split_patients(data, seed=1)
    assert not set(data.patients[train]) & set(data.patients[~train])
    for site in "ab":
        here = data.sites == site
        assert set(data.labels[train & here]) == set(data.labels[~train & here]) == {0, 1}


def test_split_varies_with_the_seed_but_not_in_size():
    data = many()
    one, two = split_patients(data, seed=1), split_patients(data, seed=2)
    assert not np.array_equal(one, two)
    assert np.array_equal(one, split_patients(data, seed=1))
    sizes = {np.unique(data.patients[split_patients(data, seed=s)]).size for s in range(8)}
    assert sizes == {training_patients(data)}


def test_only_patient_of_a_class_is_trained_on():
    labels = np.array([1, 0, 0, 0, 0, 0] * 2, dtype=np.int8)
    data = cohort([Column("v", np.arange(12.0))], labels=labels, sites=np.repeat(["a", "b"], 6))
    for seed in range(5):
        assert split_patients(data, seed=seed)[[0, 6]].all()
