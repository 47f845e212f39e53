"""One function for every unit's key: which columns it takes, and that it refuses all others."""

import datetime
import decimal

import numpy as np
import pytest

from veil.columns import entries, owners, unit_keys, written
from veil.errors import DataError

DAYS = [datetime.date(2020, 1, 31), datetime.date(1999, 12, 1)]


def frames(library):
    return pytest.importorskip(library)


# --- what is taken --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        [7, 8, 7],
        (7, 8, 7),
        range(7, 10),
        np.array([7, 8, 7], np.uint8),
        np.array([7, 8, 7], ">i4"),
        np.array([7, 8, 7], dtype=object),
        [np.int64(7), 8, np.uint8(7)],
        [2**64 - 1, 0, 2**64 - 1],
        ["a", "b", "a"],
        np.array(["a", "b", "a"]),
        np.array(["a", "b", "a"], dtype=object),
        ["Zürich-1", "東京 2", "Zürich-1"],
        ["a", "A", "a"],
        ["1.0", "1.1", "1.10"],
        [b"a", b"b", b"a"],
        np.array([b"a", b"b", b"a"]),
        [b"\1" * 32, b"\xff" * 32, b"\2" * 31 + b"\0"],
        [DAYS[0], DAYS[1], DAYS[0]],
        np.array(DAYS, "datetime64[D]"),
        np.ma.masked_array([7, 8, 7], [False] * 3),
    ],
    ids=str,
)
def test_columns_of_one_kind_keep_their_units(column):
    keys = unit_keys("ids", column)
    assert keys.dtype.kind in "iuSUM"
    plain = list(column)
    same = [[a == b for b in plain] for a in plain]
    assert np.array_equal(keys[:, None] == keys[None, :], same)


def test_a_numpy_column_is_kept_as_it_is():
    for column in (np.arange(3), np.array(["a", "b"]), np.array([b"a"])):
        assert unit_keys("ids", column) is column


def test_numpy_strings_of_variable_width_are_text():
    kinds = pytest.importorskip("numpy.dtypes")
    if not hasattr(kinds, "StringDType"):
        pytest.skip("NumPy before 2.0")
    column = np.array(["a", "b", "a"], dtype=kinds.StringDType())
    assert unit_keys("ids", column).tolist() == ["a", "b", "a"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("values", [[7, 8, 7], ["a", "b", "a"], [b"a", b"b", b"a"], DAYS], ids=str)
def test_series_give_the_keys_of_their_values(library, values):
    series = frames(library).Series(values)
    keys = unit_keys("ids", series)
    assert written(keys) == written(unit_keys("ids", values))
    assert np.array_equal(owners(keys)[0], owners(unit_keys("ids", values))[0])


@pytest.mark.parametrize("dtype", ["string", "category", "Int64", "UInt8", "datetime64[ns]"])
def test_pandas_types_of_its_own_are_taken(dtype):
    pandas = frames("pandas")
    values = ["7", "8"] if dtype in ("string", "category") else [7, 8]
    assert unit_keys("ids", pandas.Series(values).astype(dtype)).size == 2


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "string[pyarrow]", "date32[pyarrow]"])
def test_pandas_columns_on_arrow_are_taken(dtype):
    pytest.importorskip("pyarrow")
    pandas = frames("pandas")
    values = {"int64": [7, 8], "string": ["a", "b"], "date32": DAYS}[dtype.partition("[")[0]]
    assert unit_keys("ids", pandas.Series(values, dtype=dtype)).size == 2
    with pytest.raises(DataError, match="missing"):
        unit_keys("ids", pandas.Series([*values, None], dtype=dtype))


def test_tensors_of_integers_are_taken_and_no_others():
    torch = pytest.importorskip("torch")
    assert unit_keys("ids", torch.tensor([7, 8])).tolist() == [7, 8]
    for wrong in (torch.tensor([1.0]), torch.tensor([True]), torch.tensor([1j])):
        with pytest.raises(DataError, match="one kind only"):
            unit_keys("ids", wrong)
    # Its bits would pass for integers.
    with pytest.raises(TypeError, match="bfloat16"):
        unit_keys("ids", torch.tensor([1.0], dtype=torch.bfloat16))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        [1, 1.0, True, "1.0"],
        [1, 1.0],
        [1, "1"],
        ["1", b"1"],
        [True, False],
        [1, True],
        [1.0, 2.0],
        np.array([1.0, 2.0]),
        np.array([1.0, 2.0], np.float16),
        np.array([True, False]),
        np.array([1j, 2j]),
        np.array([complex("nan"), 1]),
        np.array([1, 2], "timedelta64[D]"),
        np.array([(1, 2)], dtype="i4,i4"),
        [DAYS[0], "2020-01-31"],
        [datetime.datetime(2020, 1, 31), DAYS[0]],
        [(1, 2), (3,)],
        [{}],
        [2**64, 1],
        [-1, 2**63],
    ],
    ids=str,
)
def test_other_types_and_mixtures_are_refused(column):
    with pytest.raises(DataError, match="ids: expected"):
        unit_keys("ids", column)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("7", "7.0"),
        ("7", "007"),
        ("7", "+7"),
        ("0", "-0"),
        ("12", "12."),
        (b"7", b"7.0"),
        ("7", "7,0"),
        ("700000", "7E+05"),
        ("70", "7.0e1"),
        ("7", "\u0667"),
        ("7", "70e-1"),
    ],
)
def test_one_number_in_two_spellings_is_refused(first, second):
    for other in ([first, second], [second, first], [first, first, second]):
        with pytest.raises(DataError, match=r"expected one spelling .* rows 0 and [12]") as found:
            unit_keys("ids", other)
        assert "7" not in str(found.value)
    for alone in ([first, first], [second, second]):
        assert owners(unit_keys("ids", alone))[1] == 1


@pytest.mark.parametrize(
    "spelling",
    [
        *("id7 ", " id7", "id7\t", "id7\n", "id7\u00a0"),
        *("id\u200b7", "\ufeffid7", "id7\x00x", "ｉｄ７", "e\u0301", "ﬁd7"),
    ],
)
def test_text_that_looks_like_another_is_refused(spelling):
    with pytest.raises(DataError, match=r"ids: expected .* in row 1 \(counted from 0\)"):
        unit_keys("ids", ["id8", spelling])
    with pytest.raises(DataError, match="row 1"):
        unit_keys("ids", np.array(["id8", spelling]))


def test_text_that_numpy_would_cut_is_refused():
    with pytest.raises(DataError, match="ends in NUL, got one in row 1"):
        unit_keys("ids", ["id7", "id\0"])
    with pytest.raises(DataError, match="ends in NUL, got one in row 0"):
        unit_keys("ids", [b"\1\0", b"\1"])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_is_no_column(library):
    frame = frames(library).DataFrame({"age": [1, 2]})
    with pytest.raises(TypeError, match="ids: expected a column, got a frame"):
        unit_keys("ids", frame)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ([], DataError, "at least one row"),
        ([[1], [2]], DataError, "one dimension"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], DataError, "one dimension"),
        (np.zeros((2, 2), int), DataError, "one dimension"),
        ("abc", TypeError, "got str"),
        ({1, 2}, TypeError, "got set"),
        (None, TypeError, "got NoneType"),
    ],
    ids=str,
)
def test_what_is_no_column_is_refused(column, error, message):
    with pytest.raises(error, match=f"ids: .*{message}"):
        unit_keys("ids", column)


def test_no_message_holds_a_value():
    secret = "Mrs Miller"
    for column in ([secret, None], [secret, 1], [secret, " " + secret], [secret + "\0", secret]):
        with pytest.raises(DataError) as found:
            unit_keys("ids", column)
        assert "Miller" not in str(found.value)


# --- keys at several sites ------------------------------------------------------------------------


def test_one_patient_is_written_alike_whatever_the_type():
    spellings = [[7], ["7"], ["007"], ["7.0"], [b"7"], np.array([7], np.uint8)]
    assert {tuple(written(unit_keys("ids", s))) for s in spellings} == {("7",)}
    days = [np.array(["2020-01-31"], t) for t in ("M8[D]", "M8[s]", "M8[ns]")]
    assert {tuple(written(unit_keys("ids", d))) for d in [*days, [DAYS[0]]]} == {("2020-01-31",)}
    assert written(np.array(["é".encode(), b"\xe9"])) == ["é", "é"]


def test_units_are_numbered():
    owner, units = owners(np.array(["b", "a", "b"]))
    assert (owner.tolist(), units) == ([1, 0, 1], 2)


def test_entries_of_no_declared_type_stay_what_they_are():
    assert entries("x", [1, 2.5, "a"]).tolist() == [1, 2.5, "a"]
    assert entries("x", np.array([1.0, np.nan])).dtype == np.float64


@pytest.mark.parametrize(
    "ids", [["7.5", "7"], ["7E-1", "7"], ["12e4567", "12"], ["a7", "7"], ["7e", "7"]], ids=str
)
def test_texts_that_are_no_whole_number_are_keys_of_their_own(ids):
    assert unit_keys("ids", ids).tolist() == ids


def test_what_is_no_column_or_of_no_type_of_numpy_is_refused_by_name():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    torch = pytest.importorskip("torch")
    given = [
        *(pandas.NA, pandas.NaT, pandas.Timestamp("2020-01-01")),
        pandas.MultiIndex.from_tuples([(1, 2)]),
        pandas.Series([1, 2]).groupby([0, 1]),
        polars.col("a"),
        *([polars.Series([1], dtype=polars.Int128)] if hasattr(polars, "Int128") else []),
        *(torch.tensor([1j]).conj(), torch.tensor([1j]).conj().imag),
        torch.ones(2).to(torch.float8_e4m3fn),
    ]
    for column in given:
        with pytest.raises(TypeError, match="ids: expected"):
            unit_keys("ids", column)


def test_a_signalling_nan_is_missing():
    with pytest.raises(DataError, match="no missing values, got 1 of 2, the first in row 1"):
        entries("ids", [decimal.Decimal(1), decimal.Decimal("sNaN")])
