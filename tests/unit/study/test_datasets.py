"""Loaders give the documented patients; what cannot be studied is refused with a reason."""

import hashlib

import numpy as np
import pytest

from veil.errors import DataError
from veil.study import StudyOptions, load_cohort
from veil.study.datasets.diabetes130_codes import diagnosis_group, specialty_group
from veil.study.datasets.heart_disease import load_heart_disease
from veil.study.datasets.partition import dirichlet_partition, random_partition
from veil.study.split import split_patients

HEART = [
    f"heart_disease/processed.{h}.data" for h in ("cleveland", "hungarian", "switzerland", "va")
]
DIABETES = "diabetes130/dataset_diabetes.zip"


def counts(cohort):
    return {s: int((cohort.sites == s).sum()) for s in cohort.site_ids}


def test_breast_cancer_has_569_patients_at_five_unequal_sites():
    cohort = load_cohort(StudyOptions())
    assert cohort.labels.size == cohort.n_patients == 569
    assert cohort.labels.sum() == 212  # malignant
    assert len(cohort.columns) == 30
    assert len(cohort.site_ids) == 5
    shares = [cohort.labels[cohort.sites == s].mean() for s in cohort.site_ids]
    assert max(shares) - min(shares) > 0.3
    for site in cohort.site_ids:
        labels = cohort.labels[cohort.sites == site]
        assert labels.size >= 20
        assert min(labels.sum(), (1 - labels).sum()) >= 10


def test_partition_follows_its_seed():
    again = load_cohort(StudyOptions())
    other = load_cohort(StudyOptions(partition_seed=1))
    assert np.array_equal(load_cohort(StudyOptions()).sites, again.sites)
    assert counts(other) != counts(again)


def test_partition_that_cannot_be_is_refused():
    with pytest.raises(DataError, match=r"expected 30 sites of at least 20 patients"):
        load_cohort(StudyOptions(sites=30))


def test_heart_disease_is_four_hospitals_of_complete_rows(data_file):
    folder = [data_file(name) for name in HEART][-1].parent.parent
    cohort = load_cohort(StudyOptions(dataset="heart-disease", data_dir=folder))
    assert counts(cohort) == {"cleveland": 303, "hungarian": 261, "switzerland": 46, "va": 130}
    assert [c.name for c in cohort.columns if not c.is_numeric] == ["cp", "restecg"]
    assert not any(c.missing().any() for c in cohort.columns)


def test_missing_file_names_itself_and_its_source(tmp_path, monkeypatch):
    options = StudyOptions(dataset="heart-disease", data_dir=tmp_path)
    with pytest.raises(DataError, match=r"processed\.cleveland\.data.*archive\.ics\.uci\.edu"):
        load_cohort(options)
    monkeypatch.delenv("VEIL_DATA_DIR", raising=False)
    with pytest.raises(DataError, match=r"dataset_diabetes\.zip.*uci\.edu.*VEIL_DATA_DIR"):
        load_cohort(StudyOptions(dataset="diabetes130"))


def test_file_that_is_not_the_published_one_is_refused(tmp_path):
    (tmp_path / "heart_disease").mkdir()
    (tmp_path / "heart_disease" / "processed.cleveland.data").write_text("63.0,1.0\n")
    found = hashlib.md5(b"63.0,1.0\n", usedforsecurity=False).hexdigest()
    with pytest.raises(DataError, match=f"expected md5 2d91a8ff.*got {found}; download it again"):
        load_heart_disease(data_dir=tmp_path)


def test_diabetes_patients_have_several_stays_at_one_site(data_file):
    folder = data_file(DIABETES).parent.parent
    cohort = load_cohort(StudyOptions(dataset="diabetes130", data_dir=folder))
    assert (cohort.labels.size, cohort.n_patients) == (99343, 69990)
    assert len(cohort.site_ids) == 7
    train = split_patients(cohort, seed=3)
    assert not set(cohort.patients[train]) & set(cohort.patients[~train])
    known = {c.name: c for c in cohort.schema.columns}
    for column in cohort.columns:
        present = column.values[~column.missing()]
        if column.is_numeric:
            assert present.min() >= known[column.name].low
        else:
            assert set(present) <= set(known[column.name].categories)
        assert known[column.name].may_be_missing >= column.missing().any()


def test_quick_diabetes_is_a_sample_of_patients_at_random_sites(data_file):
    folder = data_file(DIABETES).parent.parent
    options = StudyOptions(
        dataset="diabetes130", data_dir=folder, quick=True, sites_by="random", sites=3
    )
    cohort = load_cohort(options)
    assert cohort.n_patients == 4000
    assert len(cohort.site_ids) == 3


def test_icd9_codes_fall_into_the_groups_of_the_paper():
    codes = ["428", "250.83", "V57", "786", "997", "715", "599", "162", "?", "38"]
    expected = ["circulatory", "diabetes", "other", "respiratory", "injury", "musculoskeletal"]
    expected += ["genitourinary", "neoplasm", "", "other"]
    assert [diagnosis_group(c) for c in codes] == expected


def test_specialties_fall_into_seven_sites():
    names = ["?", "Surgery-Neuro", "Orthopedics", "Cardiology", "Urology", "InternalMedicine"]
    names += ["Emergency/Trauma", "Family/GeneralPractice"]
    assert len({specialty_group(n) for n in names}) == 7


def test_random_partition_keeps_patients_whole_and_sites_even():
    patients = np.repeat(np.arange(100), 3)
    site = random_partition(patients, sites=4, seed=1)
    assert all(len(set(site[patients == p])) == 1 for p in range(100))
    assert np.bincount(site).tolist() == [75, 75, 75, 75]


def test_dirichlet_partition_assigns_every_row_once():
    labels = np.array([0, 1] * 200, dtype=np.int8)
    site = dirichlet_partition(labels, sites=4, concentration=1.0, min_site=20, seed=0)
    assert set(site) == {0, 1, 2, 3}
    assert np.bincount(site).sum() == 400


# --- the user's own file ---------------------------------------------------------------------


def ward_rows(n=60):
    """Rows of two sites with both classes, a number, a category and gaps."""
    rng = np.random.default_rng(0)
    rows = ["id,age,sex,sick,ward"]
    for i in range(n):
        age = "" if i % 10 == 3 else f"{rng.integers(20, 90)}"
        rows.append(f"p{i},{age},{'fm'[i % 2]},{['no', 'yes'][i // 2 % 2]},{'ab'[i % 2]}")
    return rows


def load(tmp_path, rows, **options):
    path = tmp_path / "ward.csv"
    path.write_text("\n".join(rows) + "\n")
    return load_cohort(StudyOptions(data=path, **{"target": "sick", "site": "ward", **options}))


def test_csv_columns_get_their_kinds_and_the_larger_class_is_positive(tmp_path):
    cohort = load(tmp_path, ward_rows(), patient="id")
    assert {c.name: c.is_numeric for c in cohort.columns} == {"age": True, "sex": False}
    assert cohort.columns[0].missing().sum() == 6
    assert cohort.positive == "yes"
    assert cohort.labels.sum() == 30


def test_positive_class_can_be_chosen(tmp_path):
    assert load(tmp_path, ward_rows(), patient="id", positive="no").positive == "no"
    with pytest.raises(DataError, match="positive: expected one of"):
        load(tmp_path, ward_rows(), patient="id", positive="maybe")


@pytest.mark.parametrize(("role", "column"), [("target", "ill"), ("site", "hospital")])
def test_csv_without_a_named_column_lists_those_it_has(tmp_path, role, column):
    with pytest.raises(
        DataError, match=f"{role}: expected a column of .*got '{column}'.*sick, ward"
    ):
        load(tmp_path, ward_rows(), **{role: column})


def test_csv_without_the_patient_column_is_refused(tmp_path):
    with pytest.raises(DataError, match="patient: expected a column"):
        load(tmp_path, ward_rows(), patient="mrn")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("7", "7.0", "expected one spelling of each number, got two in rows 0 and 2"),
        ("e\u0301", "x", "normal form NFKC, got another in row 0"),
        ("unknown", "x", "a text that stands for one in row 0"),
    ],
)
def test_csv_in_which_a_patient_may_have_two_ids_is_refused(tmp_path, first, second, message):
    rows = [row.replace("p0,", f"{first},").replace("p2,", f"{second},") for row in ward_rows()]
    with pytest.raises(DataError, match=f"patient column 'id': .*{message}"):
        load(tmp_path, rows, patient="id")


def replaced(old, new, rows=None):
    return [row.replace(old, new) for row in rows or ward_rows()]


def test_site_with_one_class_is_refused(tmp_path):
    rows = [r.replace(",no,", ",yes,") if r.endswith(",b") else r for r in ward_rows()]
    with pytest.raises(DataError, match="site 'b': expected both classes of 'sick', got one"):
        load(tmp_path, rows, patient="id")


def test_site_with_too_few_patients_is_refused(tmp_path):
    rows = [*ward_rows(), "x1,50,f,yes,c", "x2,60,m,no,c"]
    with pytest.raises(DataError, match=r"site 'c': expected at least 20 patients.*got 2"):
        load(tmp_path, rows, patient="id")


def test_rows_are_not_counted_as_patients(tmp_path):
    rows = ["id,age,sex,sick,ward"]
    rows += [
        f"{'ab'[i % 2]}{i // 2 % 3},{i},{'fm'[i % 3 % 2]},{i // 2 % 2},{'ab'[i % 2]}"
        for i in range(80)
    ]
    with pytest.raises(DataError, match=r"site 'a': expected at least 20 patients.*got 3"):
        load(tmp_path, rows, patient="id")


def test_constant_and_empty_columns_are_refused(tmp_path):
    rows = ward_rows()
    constant = [rows[0] + ",k", *[r + ",7" for r in rows[1:]]]
    with pytest.raises(DataError, match="column 'k': expected at least 2 different values"):
        load(tmp_path, constant, patient="id")
    empty = [rows[0] + ",k", *[r + ",?" for r in rows[1:]]]
    with pytest.raises(DataError, match="column 'k': expected values, got only missing ones"):
        load(tmp_path, empty, patient="id")


def test_target_with_three_classes_or_one_is_refused(tmp_path):
    rows = ward_rows()
    rows[1] = rows[1].replace(",no,", ",maybe,")
    with pytest.raises(DataError, match=r"expected two classes, got 3 \(maybe, no, yes\)"):
        load(tmp_path, rows, patient="id")
    with pytest.raises(DataError, match=r"expected two classes, got 1"):
        load(tmp_path, replaced(",no,", ",yes,"), patient="id")


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [(",no,a", ",,a", "sick"), (",no,a", ",no,", "ward"), ("p0,", ",", "id")],
)
def test_missing_label_site_or_patient_is_refused(tmp_path, old, new, column):
    rows = ward_rows()
    rows[1] = rows[1].replace(old, new)
    with pytest.raises(DataError, match=f"column '{column}': expected a value in every row, got 1"):
        load(tmp_path, rows, patient="id")


def test_infinite_value_is_refused(tmp_path):
    rows = ward_rows()
    rows[1] = "p0,inf,f,no,a"
    with pytest.raises(DataError, match="column 'age': expected finite numbers"):
        load(tmp_path, rows, patient="id")


def test_identifier_as_a_feature_is_refused(tmp_path):
    with pytest.raises(DataError, match="column 'id': expected numbers or at most 50 categories"):
        load(tmp_path, ward_rows())


def test_patient_at_two_sites_is_refused_without_naming_the_patient(tmp_path):
    rows = [*ward_rows(), "p0,44,f,yes,b"]
    with pytest.raises(DataError, match="expected each patient at one site, got 1") as caught:
        load(tmp_path, rows, patient="id")
    assert "p0" not in str(caught.value)


def test_single_site_is_refused(tmp_path):
    with pytest.raises(DataError, match="sites: expected at least 2, got 1"):
        load(tmp_path, replaced(",b", ",a"), patient="id")


def test_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match="which does not exist"):
        load_cohort(StudyOptions(data=tmp_path / "no.csv", target="t", site="s"))
    (tmp_path / "bytes.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="expected a readable UTF-8 CSV"):
        load_cohort(StudyOptions(data=tmp_path / "bytes.csv", target="a", site="b"))
    with pytest.raises(DataError, match="got a header only"):
        load(tmp_path, ward_rows()[:1], patient="id")


def test_rows_of_another_length_and_unnamed_columns_are_refused(tmp_path):
    for row, count in (("p9,44,f,yes", 4), ("p9,44,f,yes,a,b", 6)):
        with pytest.raises(DataError, match=f"expected 5 fields in line 62 of .*got {count}"):
            load(tmp_path, [*ward_rows(), row], patient="id")
    for header in ("id,age,sex,sick,sick", "id,age,,sick,ward"):
        with pytest.raises(DataError, match=r"expected in the first line of .* a distinct name"):
            load(tmp_path, [header, *ward_rows()[1:]], patient="id")
    with pytest.raises(DataError, match="expected in the first line"):
        load(tmp_path, [""], patient="id")


def test_spreadsheet_files_with_byte_order_mark_quotes_and_blank_lines_are_read(tmp_path):
    rows = ward_rows()
    rows[1] = '"p0", 33 ,"f","no","a"'
    path = tmp_path / "sheet.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*rows, "", ""]).encode())
    cohort = load_cohort(StudyOptions(data=path, target="sick", site="ward", patient="id"))
    assert cohort.labels.size == 60
    assert cohort.columns[0].values[0] == 33.0
