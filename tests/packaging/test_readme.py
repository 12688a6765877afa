"""The README's examples run and print what it says; its tables agree with the pages that they quote.

A block after `<!-- tested -->` runs as a script in a folder that holds the shared collections that it names
(scifact, npl ...): shortened ones in the daily suite, whole ones in the slow suite.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from markdown_pages import python_examples

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.is_file() else ""
BLOCKS = python_examples(TEXT)
COLLECTIONS = ("scifact", "npl", "cranfield", "limit-small")
SHORT_JUDGEMENTS, SHORT_DOCUMENTS, SHORT_TEXT = 40, 300, 120
every_block = pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))


def collections_of(block: str) -> list[str]:
    return [name for name in COLLECTIONS if name in block]


def check_printed(block: str, printed: str) -> None:
    """Numbers such as 0.6... in the code span that follows "prints" begin the numbers that are printed."""
    promised = re.match(r"```\s+prints `([^`]+)`", TEXT.split(block)[1])
    assert promised, "the README does not say what the example prints"
    assert re.fullmatch(re.escape(promised[1]).replace(r"\.\.\.", r"[\d.]*"), printed.strip())


def shorten(collection: Path, target: Path) -> None:
    """A collection of the first judged queries of its test split, the beginnings of their documents, and some more."""
    (target / "qrels").mkdir(parents=True)
    header, *judgements = (collection / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    kept = judgements[:SHORT_JUDGEMENTS]
    (target / "qrels" / "test.tsv").write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    query_ids, doc_ids = ({line.split("\t")[column] for line in kept} for column in (0, 1))
    for name, wanted, more in (("queries", query_ids, 0), ("corpus", doc_ids, SHORT_DOCUMENTS)):
        lines = (collection / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        records = [
            record for i, record in enumerate(map(json.loads, lines)) if i < more or record["_id"] in wanted
        ]
        texts = (json.dumps({**record, "text": record["text"][:SHORT_TEXT]}) for record in records)
        (target / f"{name}.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


@every_block
def test_example_runs(block, tmp_path, request, run_script):
    for name in collections_of(block):
        shorten(request.getfixturevalue("shared_data") / name, tmp_path / name)
    printed = run_script(block, tmp_path)
    if not collections_of(block):
        check_printed(block, printed)


@pytest.mark.slow
@every_block
def test_example_on_whole_collections_prints_what_the_readme_says(block, tmp_path, request, run_script):
    for name in collections_of(block):
        (tmp_path / name).symlink_to(request.getfixturevalue("shared_data") / name)
    check_printed(block, run_script(block, tmp_path))


def test_the_first_example_is_short_and_needs_nothing_but_numpy(repository):
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 8
    assert not collections_of(BLOCKS[0])
    assert {line.split()[1] for line in lines if line.startswith("import ")} == {"numpy", "cluscomp"}


@pytest.mark.parametrize("command", ["make test", "make demo"])
def test_readme_names_the_two_commands(repository, command):
    assert command in TEXT


def test_figures_of_the_speed_table_stand_in_the_benchmarks(repository):
    page = (repository / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| ([\d.]+) (\w+) \| ([\d.]+) (\w+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 8
    units = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
    for theirs, their_unit, ours, our_unit, ratio in rows:
        for figure in (theirs, ours):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", page), figure
        quotient = float(theirs) * units[their_unit] / (float(ours) * units[our_unit])
        assert quotient == pytest.approx(float(ratio), rel=0.1)  # it is the median of the rounds' ratios


def test_rows_of_the_results_table_are_those_of_the_results(repository):
    page = (repository / "docs" / "results.md").read_text(encoding="utf-8")
    summary = page.split("## Summary")[1].split("\n## ")[0]
    shown = re.findall(
        r"^\| `([^`]+)`[^|]*\| \d+ \| (\.\d+ / \.\d+) \| (\.\d+ / \.\d+) \| (\.\d+ / \.\d+) \|$",
        TEXT,
        re.MULTILINE,
    )
    assert len(shown) >= 6
    for key, *cells in shown:
        scifact, cranfield, _, npl = re.search(
            rf"^\| `{re.escape(key)}` \| (.+) \| (.+) \| (.+) \| (.+) \|$", summary, re.MULTILINE
        ).groups()
        assert cells == [cell.replace("0.", ".") for cell in (scifact, cranfield, npl)], key
