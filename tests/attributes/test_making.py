"""Columns from every form that callers have, and what is said where a value does not fit."""

from __future__ import annotations

from datetime import date, datetime, timezone

import numpy as np
import pytest

from cluscomp.attributes import Attributes, Field, Schema, make_attributes
from cluscomp.attributes.building import TableBuilder
from cluscomp.attributes.columns import part_shapes
from cluscomp.attributes.times import parsed
from cluscomp.errors import DimensionError, DTypeError, InputError, UsageError

UTC = timezone.utc
ROWS = {
    "flag": [True, None, False],
    "year": [2019, 2020, None],
    "price": [1.5, None, 2.0],
    "seen": [datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), None, datetime(1969, 12, 31, tzinfo=UTC)],
    "lang": ["en", "de", None],
    "tags": [["a", "b", "a"], None, []],
}
KINDS = {
    "flag": "bool",
    "year": "int64",
    "price": "float64",
    "seen": "timestamp",
    "lang": "text",
    "tags": "texts",
}


def forms():
    arrow, pandas, polars = (pytest.importorskip(name) for name in ("pyarrow", "pandas", "polars"))
    records = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    table = arrow.table(ROWS)
    wide = {
        "lang": arrow.array(ROWS["lang"]).dictionary_encode(),
        "tags": arrow.array(ROWS["tags"], arrow.large_list(arrow.large_string())),
        "seen": arrow.array(
            [None if v is None else v.replace(tzinfo=None) for v in ROWS["seen"]], arrow.timestamp("ns")
        ),
        "year": arrow.array(ROWS["year"], arrow.uint16()),
        "price": arrow.array(ROWS["price"], arrow.float32()),
        "flag": arrow.array(ROWS["flag"]),
    }
    return {
        "dict": ROWS,
        "records": records,
        "arrow": table,
        "arrow, wide": arrow.table(wide),
        "arrow batch": table.to_batches()[0],
        "arrow, sliced": arrow.concat_tables([table.slice(2), table]).slice(1),
        "pandas": pandas.DataFrame(ROWS).astype({"lang": "object", "year": "Int64"}),
        "pandas, text": pandas.DataFrame(ROWS).astype({"lang": "string", "year": "Int64"}),
        "polars": polars.DataFrame(ROWS),
    }


@pytest.mark.parametrize(
    "form",
    [
        "dict",
        "records",
        "arrow",
        "arrow, wide",
        "arrow batch",
        "arrow, sliced",
        "pandas",
        "pandas, text",
        "polars",
    ],
)
def test_every_form_gives_the_same_bytes(form):
    wanted, found = make_attributes(ROWS), make_attributes(forms()[form])
    assert found.schema.kinds == KINDS
    assert found.to_dict() == ROWS
    assert {n: a.tobytes() for n, a in found.arrays().items()} == {
        n: a.tobytes() for n, a in wanted.arrays().items()
    }


def test_arrays_have_the_shapes_that_a_folder_expects():
    table = make_attributes(ROWS)
    for name, column in table.columns.items():
        shapes = part_shapes(column.kind, 3)
        for part, array in column.parts().items():
            dtype, shape = shapes[part]
            assert array.dtype == dtype, (name, part)
            assert all(n in (None, m) for n, m in zip(shape, array.shape, strict=True)), (name, part)


def test_arrow_table_of_a_table():
    arrow = pytest.importorskip("pyarrow")
    table = make_attributes(ROWS)
    assert table.to_arrow().to_pydict() == ROWS
    assert arrow.table(table).equals(table.to_arrow())


def test_batches_become_one_column():
    builder = TableBuilder({"when": "timestamp"})
    builder.add({"n": [1, 2], "lang": ["b", "a"]})
    builder.add({"n": [0.5], "when": ["2020-01-01T00:00:00+01:00"]})
    builder.add({"lang": ["a", None], "tags": [["x"], None]})
    found = builder.finish().to_dict()
    assert found == {
        "n": [1.0, 2.0, 0.5, None, None],
        "lang": ["b", "a", None, "a", None],
        "when": [None, None, datetime(2019, 12, 31, 23, tzinfo=UTC), None, None],
        "tags": [None, None, None, ["x"], None],
    }


@pytest.mark.parametrize(
    ("data", "kinds", "words"),
    [
        ({"year": [1, "x"]}, {}, "'year' of row 1 .id 'd1'. holds a text"),
        ({"year": [1, "x"]}, {"year": "int64"}, "'year' of row 1 .id 'd1'. holds a text"),
        ({"year": [1, 2.5]}, {"year": "int64"}, "row 1 .id 'd1'. holds 2.5, which is no integer, but the column is one of int64"),
        ({"year": [1, 2**63]}, {}, "64 bits|does not fit int64"),
        ({"year": np.array([1, 2**63], np.uint64)}, {}, "row 1 .* does not fit int64"),
        ({"price": [2**53 + 1, 2]}, {"price": "float64"}, "row 0 .* no float64"),
        ({"price": [2**53 + 1, 0.5]}, {}, "row 0 .* no float64"),
        ({"flag": [True, 1]}, {}, "row 1 .* an integer"),
        ({"tags": [["a"], [1]]}, {}, "row 1 .* lists may hold texts only"),
        ({"lang": ["a", {"b": 1}]}, {}, "row 1 .* type dict"),
        ({"lang": ["a", "\ud800"]}, {}, "row 1 .* Unicode"),
        ({"when": ["2020-01-01", "soon"]}, {"when": "timestamp"}, "row 1 .*ISO 8601"),
        ({"tags": ["a", "b"]}, {"tags": "texts"}, "row 0 .* a text, but the column is one of texts"),
        ({"when": np.array(["2020", "300000-01"], "M8[Y]").astype("M8[M]") + np.timedelta64(10**15, "M")}, {}, "does not fit"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named(data, kinds, words):
    with pytest.raises(InputError, match=words):
        make_attributes(data, 2, kinds=kinds, ids=["d0", "d1"])


def test_arrow_columns_that_do_not_fit_are_named():
    arrow = pytest.importorskip("pyarrow")
    with pytest.raises(DTypeError, match="'x' has the Arrow type struct"):
        make_attributes(arrow.table({"x": [{"a": 1}]}))
    with pytest.raises(InputError, match="row 1 holds a list with a missing text"):
        make_attributes(arrow.table({"x": [["a"], ["b", None]]}))
    with pytest.raises(InputError, match="row 1 .* does not fit int64"):
        make_attributes(arrow.table({"x": arrow.array([1, 2**63], arrow.uint64())}))


def test_shapes_and_forms_that_do_not_fit():
    with pytest.raises(DimensionError, match="2 rows, but there are 3"):
        make_attributes({"x": [1, 2]}, 3)
    with pytest.raises(DimensionError, match="'y' has 1 rows, but 'x' has 2"):
        make_attributes({"x": [1, 2], "y": [1]})
    for wrong in (3, "x", [1, 2], {"x": "abc"}, {"x": 3}, {"x": np.zeros(2, np.complex64)}):
        with pytest.raises(DTypeError):
            make_attributes(wrong)
    for wrong in ({"": [1]}, {3: [1]}, {"é" * 14: [1]}, {"\ud800": [1]}, {f"c{i}": [1] for i in range(257)}):
        with pytest.raises(UsageError):
            make_attributes(wrong)


def test_columns_without_a_value_are_left_out_unless_known():
    assert list(make_attributes({"x": [None, float("nan")], "y": [1, 2]})) == ["y"]
    assert make_attributes({"x": [None, None]}, kinds={"x": "text"})["x"].kind == "text"
    assert make_attributes({}, 4).n_rows == 4


def test_integers_that_pandas_made_floats_stay_integers():
    assert make_attributes({"x": np.array([1.0, np.nan])}, kinds={"x": "int64"}).to_dict() == {"x": [1, None]}
    assert make_attributes({"x": np.array([1.0, np.nan])})["x"].kind == "float64"


def test_dates_are_instants_in_utc():
    days = [date(2020, 2, 29), datetime(2020, 2, 29, 1), np.datetime64("2020-02-29T01"), np.datetime64("NaT")]
    assert make_attributes({"x": days}).to_dict()["x"] == [
        datetime(2020, 2, 29, tzinfo=UTC), datetime(2020, 2, 29, 1, tzinfo=UTC), datetime(2020, 2, 29, 1, tzinfo=UTC), None,
    ]  # fmt: skip
    assert parsed("1970-01-01T00:00:00.0000019Z") == 1
    assert parsed("1970-01-01 01:00-01:00") == 2 * 3600 * 10**6
    for wrong in (
        "",
        "2020",
        "20200101",
        "2020-02-30",
        "2020-01-01T25:00",
        "2020-01-01T00:00+1",
        "٢٠٢٠-01-01",
    ):
        with pytest.raises(ValueError, match=r".+"):
            parsed(wrong)


def test_schemas_join_by_rule():
    first = Schema.of({"year": "int64", "owner": Field("text", tenant=True)})
    assert first.tenant == "owner"
    assert first.joined(Schema.of({"year": "int64"}), new=False) == first
    with pytest.raises(InputError, match="'yeer' is new .*did you mean 'year'"):
        first.joined(Schema.of({"yeer": "int64"}), new=False)
    assert list(first.joined(Schema.of({"lang": "text"}), new=True)) == ["year", "owner", "lang"]
    assert Schema.from_json(first.to_json()) == first
    for wrong in (
        {"x": "int32"},
        {"x": Field("int64", tenant=True)},
        {"x": Field("text", True), "y": Field("text", True)},
        3,
    ):
        with pytest.raises(UsageError):
            Schema.of(wrong)


def test_faults_of_stored_columns_are_found():
    table = make_attributes(ROWS)
    assert not list(table.faults())
    arrays = table.arrays()
    for name, change in (
        ("attr.year.values", 9), ("attr.lang.values", 7), ("attr.tags.values", -1), ("attr.tags.offsets", 9), ("attr.lang.words", 255),
    ):  # fmt: skip
        broken = {**arrays, name: arrays[name].copy()}
        broken[name][0] = change
        found = list(Attributes.of_arrays(table.schema, broken, 3).faults())
        assert len(found) == 1, name
        assert found[0][0] == name.split(".")[1]


def test_names_of_columns_may_hold_any_sign():
    table = make_attributes({"a/b.values": [1], "a": [2], "a.values": [3], "ü": [4]})
    again = Attributes.of_arrays(table.schema, table.arrays(), 1)
    assert again.to_dict() == {"a/b.values": [1], "a": [2], "a.values": [3], "ü": [4]}
    assert all("/" not in name for name in table.arrays())
