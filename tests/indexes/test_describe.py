"""describe, nbytes and sizes: every byte of a folder is explained, before and after it is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cluscomp.errors import UsageError
from cluscomp.indexes import open_index, parse_key
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.describe import list_balance
from cluscomp.indexes.segments.segment import Segment, segment_arrays
from cluscomp.indexes.stages.pipeline import Pipeline, training_rows
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes


def folder_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())


def test_every_byte_of_the_folder_is_counted(make_index, any_key: str, rows, tmp_path) -> None:
    index = make_index(any_key, "l2", [f"d{i}" for i in range(600)])
    index.add(rows[:40], [f"e{i}" for i in range(40)])
    index.delete(["d7", "e3", "e4"])
    index.save(tmp_path / "index")
    size = folder_size(tmp_path / "index")
    for candidate in (index, open_index(tmp_path / "index")):
        parts = candidate.nbytes()
        assert parts["total"] == size
        assert sum(count for name, count in parts.items() if name != "total") == size
    assert json.loads(json.dumps(index.describe()))["bytes"]["total"] == size


def test_parts_of_a_key_with_everything(make_index, tmp_path) -> None:
    index = make_index("OPQ4,IVF8,PQ4x6", "ip")
    assert index.nbytes() | {"manifest": 0, "total": 0} == {
        "codes": 128 + 600 * 3,
        "shadow": 0,
        "refine": 0,
        "positions": 128 + 600 * 4,
        "list_offsets": 128 + 9 * 8,
        "ids": 0,
        "tombstones": 0,
        "centroids": 128 + 8 * 16 * 4,
        "codebooks": 128 + 4 * 64 * 4 * 4,
        "rotation": 128 + 16 * 16 * 4,
        "manifest": 0,
        "texts": 0,
        "other": 0,
        "total": 0,
    }
    facts = index.describe()
    assert (facts["code_size"], facts["refine_code_size"]) == (3, 0)
    assert facts["search_defaults"] == {"nprobe": 8}
    assert make_index("SQ8,RFlat").describe()["refine_code_size"] == 64


@pytest.mark.parametrize(
    ("key", "size"),
    [("Flat", 64), ("SQfp16", 32), ("SQ8", 16), ("PQ4", 4), ("PQ4x4", 2), ("PQ4x6", 3), ("PCA8,Flat", 32)],
)
def test_code_size(make_index, key: str, size: int) -> None:
    assert make_index(key).code_size == size
    assert Pipeline(parse_key(key), 16, "ip", 0).codec.row_bytes == size


def test_other_files_and_changes_after_opening(trained, rows, tmp_path) -> None:
    with IndexWriter(trained("SQ8"), tmp_path / "index") as writer:
        writer.add(rows)
        writer.finish(extra_files={"letter.txt": bytes(1000), "report.json": b"{}"})
    index = open_index(tmp_path / "index")
    assert index.nbytes()["other"] == 1002
    assert index.nbytes()["total"] == folder_size(tmp_path / "index")
    assert index.describe()["other_files"] == {"letter.txt": 1000, "report.json": 2}
    index.add(rows[:9])
    index.delete([4])
    index.nprobe = 1
    expected = index.nbytes()["total"]
    index.save(tmp_path / "elsewhere")
    assert folder_size(tmp_path / "elsewhere") == expected
    index.save(tmp_path / "index")
    assert folder_size(tmp_path / "index") > index.nbytes()["total"]  # files of the generation before


def test_balance_of_lists_by_hand(trained) -> None:
    index = trained("IVF8,Flat", "l2")
    centroids = index.pipeline.partition.centroids
    index.add(np.repeat(centroids[:4], [1, 1, 2, 36], axis=0))
    balance = list_balance(index, 1)
    assert balance == {
        "scanned": {"nprobe": 1, "mean": pytest.approx(1302 / 40), "p50": 36, "p99": 36},
        "nlist": 8,
        "mean": 5.0,
        "min": 0,
        "max": 36,
        "cv": pytest.approx(np.std([1, 1, 2, 36, 0, 0, 0, 0]) / 5),
        "max_over_mean": 7.2,
        "bound": None,
        "exceeded_by": 0,
        "empty": 4,
        "above_4x_mean": 1,
        "expected_scan": pytest.approx((1 + 1 + 4 + 1296) / 1600 * 8),
    }
    assert list_balance(index)["scanned"] == {"nprobe": 8, "mean": 40, "p50": 40, "p99": 40}
    with pytest.raises(UsageError, match="nprobe=9"):
        index.describe(nprobe=9)
    assert list_balance(trained("Flat")) is None


def test_sizes_known_beforehand_are_exact(make_index, any_key: str, tmp_path) -> None:
    index = make_index(any_key)
    pipeline = Pipeline(index.spec, 16, "ip", 0)
    parts = index.nbytes()
    predicted: dict[str, int] = {}
    for sizes in (part_bytes(Segment, segment_arrays(pipeline, 600), 600), trained_bytes(pipeline)):
        for part, size in sizes.items():
            predicted[part] = predicted.get(part, 0) + size
    assert predicted == {part: parts[part] for part in predicted}
    assert sum(predicted.values()) == parts["total"] - parts["manifest"]


def test_id_and_tombstone_bytes(make_index) -> None:
    names = [f"d{i:04}" for i in range(600)]
    index = make_index("SQ8", ids=names)
    index.delete(names[:3])
    sizes = part_bytes(Segment, {}, 600, id_bytes=5 + 8, deleted=3)
    assert sizes["ids"] == index.nbytes()["ids"]
    assert sizes["tombstones"] == index.nbytes()["tombstones"]


def test_rows_that_training_looks_at() -> None:
    assert training_rows(parse_key("OPQ48,IVF1024,PQ48")) == 262144
    assert training_rows(parse_key("PQ8")) == 65536
