"""A site is checked once, when it is made; every fault names it."""

import numpy as np
import pytest

from veil.errors import DataError
from veil.fl import Site
from veil.fl.sites import check_sites

X = np.arange(12.0).reshape(4, 3)
Y = np.array([0, 1, 1, 0])


def make(**changes):
    fields = {"id": "north", "x": X, "y": Y, "x_test": X, "y_test": Y, "patients": None}
    return Site(**(fields | changes))


def test_counts_rows_and_patients():
    site = make(patients=np.array([7, 7, 8, 9]))
    assert (site.n_train, site.n_test, site.n_patients) == (4, 4, 3)
    assert make().n_patients == 4


def test_masked_arrays_are_refused_or_kept_as_what_they_hold():
    hidden = np.zeros(4, bool)
    hidden[2] = True
    for name in ("x", "y", "x_test", "y_test"):
        plain = {"x": X, "y": Y, "x_test": X, "y_test": Y}[name]
        mask = hidden if plain.ndim == 1 else np.outer(hidden, [0, 1, 0])
        with pytest.raises(DataError, match=f"site 'north': {name}: expected no masked entries"):
            make(**{name: np.ma.masked_array(plain, mask)})
        kept = getattr(make(**{name: np.ma.masked_array(plain, False)}), name)
        assert type(kept) is np.ndarray
        assert np.shares_memory(kept, plain) or np.array_equal(kept, plain)
    with pytest.raises(DataError, match=r"subgroups.*: expected no masked entries"):
        make(subgroups={"sex": np.ma.masked_array(Y, hidden)})


def test_patients_of_any_container_are_kept_as_an_array_of_keys():
    for patients in (["a", "a", "b", "c"], np.array(["a", "a", "b", "c"], object), (7, 7, 8, 9)):
        site = make(patients=patients)
        assert isinstance(site.patients, np.ndarray)
        assert site.n_patients == 3


def test_images_and_empty_test_sets_are_allowed():
    images = np.zeros((4, 5, 5), np.float32)
    assert make(x=images, x_test=images[:0], y_test=Y[:0]).n_test == 0


def test_repr_shows_no_value():
    assert repr(make()) == "Site(id='north', n_train=4, n_test=4)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X.astype(int)}, "x: expected an ndarray of float32 or float64"),
        ({"x": X[0]}, "x: expected shape"),
        ({"x": np.where(X == 3, np.nan, X)}, "x: has NaN"),
        ({"x_test": np.where(X == 3, np.inf, X)}, "x_test: has NaN"),
        ({"x": X[:0], "y": Y[:0]}, "at least one training row"),
        ({"x_test": X.astype(np.float32)}, "x_test: expected rows like x"),
        ({"x_test": X[:, :2]}, "x_test: expected rows like x"),
        ({"y": Y[:3]}, r"y: expected an ndarray of shape \(4,\)"),
        ({"y": Y + 1}, "y: expected only 0 and 1"),
        ({"y_test": np.array(["a"] * 4)}, "y_test: expected only 0 and 1"),
        ({"patients": np.array([1.0, 2, 3, 4])}, "patients: expected integers or strings"),
        ({"patients": np.arange(3)}, "patients: expected an ndarray of shape"),
        ({"subgroups": {"sex": np.arange(3)}}, "subgroups"),
    ],
)
def test_faults_name_the_site_and_the_argument(changes, message):
    with pytest.raises(DataError, match=f"site 'north': .*{message}"):
        make(**changes)


def test_an_id_is_needed():
    with pytest.raises(DataError, match="id: expected a non-empty str"):
        make(id="")


def test_sites_of_one_study_must_agree():
    with pytest.raises(DataError, match="at least one site"):
        check_sites([])
    with pytest.raises(DataError, match="'north' twice"):
        check_sites([make(), make()])
    with pytest.raises(DataError, match="site 'south': x: expected rows of shape"):
        check_sites([make(), make(id="south", x=X[:, :2], x_test=X[:, :2])])
    check_sites([make(), make(id="south")])
