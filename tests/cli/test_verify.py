"""`cluscomp verify`: faults on stdout, exit code 5 where there are any."""

from __future__ import annotations

import json

from stored_files import file_of, what_of


def test_a_whole_index(invoke, text_index):
    result = invoke("verify", text_index)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no fault (level deep)" in result.stderr
    facts = json.loads(invoke("verify", text_index, "--level", "quick", "--json").stdout)
    assert facts == {"index": str(text_index), "level": "quick", "faults": []}


def test_faults_are_listed_and_exit_with_5(invoke, program, text_index):
    texts = next(text_index.glob("*.docs.sqlite"))
    texts.write_bytes(b"x" * texts.stat().st_size)
    file_of(text_index, "segment0.codes").unlink()
    assert invoke("verify", text_index, "--level", "quick").exit_code == 5
    result = program("verify", text_index, "-q")
    assert result.returncode == 5 and result.stderr == ""
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [what_of(text_index, line[0]) for line in lines] == [
        "segment0.codes.npy",
        "segment0.docs.sqlite",
        "segment0.docs.sqlite",
    ]
    assert "is missing" in lines[0][1] and "checksum" in lines[1][1] and "cannot be read" in lines[2][1]
    result = invoke("verify", text_index, "--json")
    assert result.exit_code == 5
    assert [fault["file"] for fault in json.loads(result.stdout)["faults"]] == [line[0] for line in lines]


def test_no_index_and_no_level(invoke, tmp_path, text_index):
    assert invoke("verify", tmp_path / "nothing").exit_code == 5
    assert invoke("verify", text_index, "--level", "all").exit_code == 2
