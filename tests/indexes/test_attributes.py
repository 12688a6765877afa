"""Attributes on disk: builds, saves, changes, conversions and damage."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import CorruptIndexError, DimensionError, InputError, UsageError

COLUMNS = {
    "year": [2000 + i % 20 if i % 7 else None for i in range(600)],
    "price": [i / 8 for i in range(600)],
    "paid": [i % 2 == 0 for i in range(600)],
    "lang": [["de", "en", "fr"][i % 3] for i in range(600)],
    "tags": [[f"t{i % 5}", "x"] if i % 4 else None for i in range(600)],
}


def inodes(folder):
    return {path.name: path.stat().st_ino for path in folder.iterdir() if path.suffix == ".npy"}


@pytest.mark.parametrize("key", ["SQ8", "IVF8,PQ4x4", "PCA8,IVF8,SQ8,RFlat"])
def test_attributes_come_back_from_a_folder(trained, rows, queries, tmp_path, key):
    index = trained(key).add(rows[:400], attributes={name: values[:400] for name, values in COLUMNS.items()})
    index.add(rows[400:])
    index.delete([5, 500])
    index.save(tmp_path / "i")
    opened = cc.open_index(tmp_path / "i", verify=True)
    assert opened.attribute_schema == index.attribute_schema
    assert opened.attributes().to_dict() == index.attributes().to_dict()
    for filter in (
        "year > 2010 and tags contains 't1'",
        "lang is null",
        "not lang == 'de'",
        "price < 9.5 and paid == true",
    ):
        for found, wanted in zip(
            opened.search(queries, 9, filter=filter), index.search(queries, 9, filter=filter), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)
    assert cc.verify_index(tmp_path / "i", level="deep") == []
    facts = opened.describe()
    assert facts["attributes"]["tags"] == {"kind": "texts"}
    assert facts["bytes"]["attributes"] == sum(p.stat().st_size for p in (tmp_path / "i").glob("*.attr.*"))
    assert facts["bytes"]["total"] == sum(
        p.stat().st_size for p in (tmp_path / "i").iterdir() if not p.name.startswith(".")
    )


def test_a_change_of_attributes_writes_columns_of_their_segments_only(trained, rows, tmp_path):
    index = trained("IVF8,SQ8")
    index.add(rows[:300], attributes={"year": list(range(300)), "lang": ["a"] * 300})
    index.add(rows[300:], attributes={"year": list(range(300)), "lang": ["b"] * 300})
    index.save(tmp_path / "i")
    before = inodes(tmp_path / "i")
    opened = cc.open_index(tmp_path / "i")
    opened.set_attributes([7], {"year": [None]})
    opened.save(tmp_path / "i")
    after = inodes(tmp_path / "i")
    untouched = opened.segments[1].name
    assert all(after[name] == inode for name, inode in before.items() if name.startswith(untouched))
    written = {name.partition(".")[2] for name, inode in after.items() if inode not in before.values()}
    assert written == {f"attr.year.{part}.npy" for part in ("values", "low", "high", "nulls")}
    assert cc.open_index(tmp_path / "i", verify=True).attributes(["year"]).to_dict()["year"][6:9] == [
        6,
        None,
        8,
    ]
    assert cc.verify_index(tmp_path / "i", level="deep") == []


def test_declared_attributes_are_saved_and_taken_up(trained, rows, tmp_path):
    index = trained("SQ8").add(rows)
    index.save(tmp_path / "i")
    other = cc.open_index(tmp_path / "i")
    index.declare_attributes({"seen": "timestamp", "owner": cc.Field("text", tenant=True)})
    assert index.has_changes
    index.save(tmp_path / "i")
    assert not index.has_changes
    assert other.refresh()
    assert other.attribute_schema == index.attribute_schema
    other.set_attributes([1], {"seen": ["2024-05-01T00:00:00+02:00"], "owner": ["me"]})
    assert other.search(rows[:1], 5, tenant="me", filter="seen < '2024-05-01'")[1].tolist() == [[1]]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "table", "rows in order"])
def test_builds_take_attributes(rows, tmp_path, form):
    names = [f"d{i}" for i in range(len(rows))]
    order = np.random.default_rng(0).permutation(len(rows))
    attributes = tmp_path / f"facts.{form}"
    if form == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {"id": names, **COLUMNS}
        parquet.write_table(
            arrow.table({name: [values[i] for i in order] for name, values in columns.items()}), attributes
        )
    elif form == "jsonl":
        lines = [{"_id": names[i], **{name: values[i] for name, values in COLUMNS.items()}} for i in order]
        attributes.write_text("\n".join(map(json.dumps, lines)))
    elif form == "table":
        attributes = COLUMNS
    else:
        attributes = tmp_path / "facts.jsonl"
        attributes.write_text(
            "\n".join(json.dumps({name: values[i] for name, values in COLUMNS.items()}) for i in range(600))
        )
    options = {"index_key": "IVF8,SQ8", "output": tmp_path / "i", "ids": names, "attributes": attributes}
    cc.build_index(rows, **options)
    opened = cc.open_index(tmp_path / "i", verify=True)
    assert opened.attributes().to_dict() == COLUMNS
    assert cc.verify_index(tmp_path / "i", level="deep") == []
    saved = cc.index_factory("IVF8,SQ8", rows.shape[1]).train(rows).add(rows, names, attributes=COLUMNS)
    saved.save(tmp_path / "saved")
    assert {name for name in inodes(tmp_path / "saved") if "attr" in name} == {
        name for name in inodes(tmp_path / "i") if "attr" in name
    }


def test_attributes_of_integer_ids_and_of_some_rows(rows, tmp_path):
    (tmp_path / "f.jsonl").write_text(
        '{"id": 7, "year": 1}\n{"id": 3, "year": 2}\n{"id": 99999, "year": 3}\n'
    )
    cc.build_index(rows, index_key="SQ8", output=tmp_path / "i", attributes=tmp_path / "f.jsonl")
    years = cc.open_index(tmp_path / "i").attributes().to_dict()["year"]
    assert years[:9] == [None, None, None, 2, None, None, None, 1, None]
    (tmp_path / "g.jsonl").write_text('{"id": 100007, "year": 1}\n')
    with pytest.raises(InputError, match="none of the 1 ids"):
        cc.build_index(rows, index_key="SQ8", output=tmp_path / "j", attributes=tmp_path / "g.jsonl")
    with pytest.raises(DimensionError, match="600 rows, but 2 rows of attributes"):
        cc.build_index(rows, index_key="SQ8", output=tmp_path / "j", attributes={"x": [1, 2]})
    assert not (tmp_path / "j").exists()
    with pytest.raises(UsageError, match="attributes_from"):
        cc.build_index(rows, index_key="SQ8", output=tmp_path / "j", attributes_from="metadata")


def test_merges_and_conversions_carry_attributes(trained, rows, tmp_path):
    one = trained("IVF8,PQ4").add(rows[:300], attributes={"year": list(range(300))})
    one.delete(np.arange(0, 300, 13))
    one.save(tmp_path / "one")
    two = trained("IVF8,PQ4").add(rows[300:], np.arange(300, 600), attributes={"lang": ["a"] * 300})
    two.save(tmp_path / "two")
    cc.merge_indexes([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    both = cc.open_index(tmp_path / "both", verify=True)
    years = one.attributes().to_dict()["year"]
    wanted = {"year": years + [None] * 300, "lang": [None] * len(years) + ["a"] * 300}
    assert both.attributes().to_dict() == wanted
    cc.convert_index(tmp_path / "both", tmp_path / "other", index_key="SQ8")
    assert cc.open_index(tmp_path / "other", verify=True).attributes().to_dict() == wanted
    trained("IVF8,PQ4").add(rows[:3], np.arange(700, 703), attributes={"year": ["x"] * 3}).save(
        tmp_path / "three"
    )
    with pytest.raises(UsageError, match="'year' is"):
        cc.merge_indexes([tmp_path / "one", tmp_path / "three"], tmp_path / "no")


def test_damage_is_found(trained, rows, tmp_path):
    trained("SQ8").add(rows, attributes=COLUMNS).save(tmp_path / "i")
    manifest = tmp_path / "i" / "manifest.json"
    good = manifest.read_text()
    for wrong in (
        {"year": {"kind": "int32"}}, {"year": 3}, {"year": {"kind": "text"}, "lang": {"kind": "text"}, "tags": {"kind": "texts"}},
        {"year": {"kind": "int64"}}, [],
    ):  # fmt: skip
        manifest.write_text(json.dumps(json.loads(good) | {"attributes": wrong}))
        with pytest.raises(CorruptIndexError):
            cc.open_index(tmp_path / "i")
    manifest.write_text(good)
    for part in ("year.low", "lang.values", "tags.offsets", "tags.word_offsets"):
        (file,) = (tmp_path / "i").glob(f"s*.attr.{part}.npy")
        raw = file.read_bytes()
        file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 0x41]))
        assert any(file.name == fault.file for fault in cc.verify_index(tmp_path / "i", level="sums"))
        faults = cc.verify_index(tmp_path / "i", level="deep")
        assert any(part.split(".")[0] in fault.file for fault in faults)
        with contextlib.suppress(CorruptIndexError):
            index = cc.open_index(tmp_path / "i")
            index.search(rows[:1], 3, filter="lang == 'de' and tags contains 'x' and year > 1")
        file.write_bytes(raw)


def test_an_index_travels_with_its_attributes(trained, rows, tmp_path):
    import copy
    import pickle

    index = trained("SQ8").add(rows, attributes=COLUMNS)
    for other in (copy.copy(index), pickle.loads(pickle.dumps(index))):  # noqa: S301
        assert other.attributes().to_dict() == COLUMNS
        other.set_attributes([0], {"year": [1]})
    assert index.attributes().to_dict() == COLUMNS


def test_the_first_rows_bring_columns_beside_those_declared(rows, tmp_path):
    index = cc.index_factory("Flat", rows.shape[1])
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    index.add(rows[:2], attributes={"owner": ["a", "b"], "year": [1, 2]})
    with pytest.raises(InputError, match="'month' is new"):
        index.add(rows[2:3], attributes={"owner": ["a"], "month": [1]})
    assert list(index.attribute_schema) == ["owner", "year"] and index.attribute_schema.tenant == "owner"
