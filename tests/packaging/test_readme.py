"""The README's examples run: every ```python block that follows a comment `<!-- tested -->`.

A block runs as a script in a folder that holds the shared collections that it names (scifact, npl ...): shortened ones
in the daily suite, whole ones, with the printed numbers compared, in the slow suite.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"<!-- tested -->\s*```python\n(.*?)```", re.DOTALL)
COLLECTIONS = ("scifact", "npl", "cranfield", "limit-small")
SHORT_JUDGEMENTS, SHORT_DOCUMENTS, SHORT_TEXT = 40, 300, 120
MISSING = re.compile(r"OptionalDependencyError: the package '([\w.]+)'")


def blocks() -> list[str]:
    return BLOCK.findall(README.read_text(encoding="utf-8")) if README.is_file() else []


def skip_if_package_is_missing(stderr: str) -> None:
    found = MISSING.search(stderr)
    if found and importlib.util.find_spec(found[1]) is None:
        pytest.skip(f"the example needs {found[1]}")


def run_example(number: int, folder: Path) -> str:
    """Standard output of an example that must succeed."""
    command = [sys.executable, "-c", blocks()[number]]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    skip_if_package_is_missing(result.stderr)
    assert result.returncode == 0, result.stderr
    return result.stdout


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


@pytest.mark.parametrize("number", range(len(blocks())))
def test_example_runs_on_shortened_collections(number, tmp_path, request):
    for name in COLLECTIONS:
        if name in blocks()[number]:
            shorten(request.getfixturevalue("shared_data") / name, tmp_path / name)
    run_example(number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks())))
def test_example_prints_what_the_readme_says(number, tmp_path, request):
    """Numbers such as 0.6... in the code span that follows "prints" begin the numbers that are printed; how far a
    training seed and the last bits of a machine move them, the README says."""
    for name in COLLECTIONS:
        if name in blocks()[number]:
            (tmp_path / name).symlink_to(request.getfixturevalue("shared_data") / name)
    printed = run_example(number, tmp_path)
    after = README.read_text(encoding="utf-8").split(blocks()[number])[1]
    promised = re.match(r"```\s+prints `([^`]+)`", after)
    assert promised, "the README does not say what the example prints"
    assert re.fullmatch(re.escape(promised[1]).replace(r"\.\.\.", r"[\d.]*"), printed.strip())


def test_readme_has_a_tested_example_of_about_ten_lines(repository):
    lengths = [len([line for line in block.splitlines() if line.strip()]) for block in blocks()]
    assert lengths, "README.md has no python block after <!-- tested -->"
    assert min(lengths) <= 12


@pytest.mark.parametrize("command", ["make test", "make demo"])
def test_readme_names_the_two_commands(repository, command):
    assert command in (repository / "README.md").read_text(encoding="utf-8")
