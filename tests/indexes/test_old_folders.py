"""Folders that version 0.1.0 wrote (format 2) open, verify and answer with the same bits; format 1 opens where it may."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from result_digests import grid

from cluscomp.errors import CorruptIndexError
from cluscomp.indexes import open_index
from cluscomp.indexes.conversion import convert_index
from cluscomp.indexes.storage.manifest import FORMAT_VERSION

FOLDERS = Path(__file__).with_name("format2")
EXPECTED = json.loads((FOLDERS / "expected.json").read_text(encoding="utf-8"))
VECTORS = [name for name in EXPECTED if name != "documents"]


def answers(index: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "documents":
        return index.search(grid(4, 7), 7, lengths=[3, 4])
    return index.search(grid(2, 10), 7)


def check(index: Any, name: str) -> None:
    scores, ids = answers(index, name)
    wanted = EXPECTED[name]
    assert len(index) == wanted["rows"]
    assert ids.tolist() == wanted["ids"]
    assert [[float(score).hex() for score in row] for row in scores] == wanted["scores"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_folder_of_format_2_opens_and_answers_as_when_it_was_written(name):
    check(open_index(FOLDERS / name, verify=True), name)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_folder_of_format_2_is_saved_again(name, tmp_path):
    open_index(FOLDERS / name).save(tmp_path / "copy")
    check(open_index(tmp_path / "copy", verify=True), name)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_folder_of_format_2_is_converted_to_the_newest(name, tmp_path):
    """Into another folder, and in its own place."""
    shutil.copytree(FOLDERS / name, tmp_path / name)
    report = convert_index(tmp_path / name, tmp_path / "new", format=FORMAT_VERSION)
    assert report.format_version == FORMAT_VERSION > 2 and report.rows == EXPECTED[name]["rows"]
    convert_index(tmp_path / name, format=FORMAT_VERSION)
    for folder in ("new", name):
        manifest = json.loads((tmp_path / folder / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["format_version"] == FORMAT_VERSION
        check(open_index(tmp_path / folder, verify=True), name)


@pytest.mark.parametrize("name", VECTORS)
def test_a_folder_of_format_1_opens_unless_its_4_bit_codes_are_in_the_old_order(name, tmp_path):
    shutil.copytree(FOLDERS / name, tmp_path / name)
    path = tmp_path / name / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["format_version"] = manifest["min_reader_version"] = 1
    path.write_text(json.dumps(manifest), encoding="utf-8")
    if "x4" in manifest["key"]:
        with pytest.raises(CorruptIndexError, match="rebuild"):
            open_index(tmp_path / name)
    else:
        check(open_index(tmp_path / name), name)
