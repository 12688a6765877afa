"""The pages of the documentation: links lead somewhere, commands exist, tested examples run."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_pages import anchors, commands, links, page_files, page_script, python_blocks, span_commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = page_files(ROOT) if (ROOT / "pyproject.toml").is_file() else []
GUIDES = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
MENTION = re.compile(r"(?<![\w/.-])docs/[\w/-]+\.(?:md|py|toml|svg)\b")
TEXT_FILES = (".py", ".md", ".toml", ".cpp", ".h", ".cu", "Makefile", "run")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@every_page
def test_links_lead_to_files_and_headings(page):
    broken = []
    for target in links(read(page)):
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        if not file.exists() or not file.is_relative_to(ROOT):
            broken.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(read(file)):
            broken.append(f"{target}: no such heading")
    assert not broken


def test_every_page_is_reached_from_the_readme(repository):
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (target.partition("#")[0] for target in links(read(page)) if not ELSEWHERE.match(target))
        waiting += [(page.parent / unquote(target)).resolve() for target in targets if target]
    assert not set(PAGES) - reached


def test_files_of_docs_that_sources_mention_exist():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    files = [ROOT / name for name in listed.stdout.splitlines() if name.endswith(TEXT_FILES)]
    missing = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        if file.is_file()
        for name in MENTION.findall(read(file))
        if not (ROOT / name).exists()
    }
    assert not missing


def command_tree():
    from typer.main import get_command

    from cluscomp.cli.main import app

    return get_command(app)


def fault(words: list[str]) -> str | None:
    """What is wrong with a command of the documentation: a name or a flag that does not exist."""
    if "-m" in words:  # torchrun -m cluscomp -- train ...
        words = ["cluscomp", *words[words.index("cluscomp") + 1 :]]
        words = [word for word in words if word != "--"]
    command, rest = command_tree(), words[1:] if words[0] == "cluscomp" else words
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0].isupper() or rest[0] == "...":  # a placeholder: "cluscomp COMMAND --help"
            return None
        if rest[0] not in command.commands:
            return f"{rest[0]!r} is no command"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    flags = [word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)]
    unknown = [flag for flag in flags if flag not in known]
    return f"unknown flags: {unknown}" if unknown else None


@every_page
def test_commands_and_flags_exist(page):
    shown = [(line, words) for line, words in commands(read(page))]
    shown += [(0, words) for words in span_commands(read(page))]
    faults = [f"line {line}: {' '.join(words)}: {found}" for line, words in shown if (found := fault(words))]
    assert not faults


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cluscomp nosuch x", "'nosuch' is no command"),
        ("cluscomp train nosuch", "'nosuch' is no command"),
        ("cluscomp search i --nosuch 1", "unknown flags: ['--nosuch']"),
        ("build-index --corpus x --metrics ip", "unknown flags: ['--metrics']"),
        ("torchrun --nproc-per-node 8 -m cluscomp -- train repconc --mm 3", "unknown flags: ['--mm']"),
        ("cluscomp search i --query text -k 5", None),
        ("cluscomp COMMAND --help", None),
    ],
)
def test_wrong_commands_are_seen(words, found):
    assert fault(words.split()) == found


@every_page
def test_python_examples_name_what_exists(page):
    missing = [name for block in python_blocks(read(page)) for name in missing_names(ast.parse(block))]
    assert not missing


def missing_names(tree: ast.Module) -> list[str]:
    """Names imported from cluscomp, or used as cc.NAME, that are not there."""
    used = [("cluscomp", node.attr) for node in ast.walk(tree) if is_of_cc(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cluscomp":
            used += [(node.module, alias.name) for alias in node.names]
    return [f"{module}.{name}" for module, name in used if not is_there(module, name)]


def is_of_cc(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cc"


def is_there(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError as exc:  # an optional package that is not installed
        return not (exc.name or "cluscomp").startswith("cluscomp")


@pytest.mark.parametrize(
    "page", [p for p in GUIDES if page_script(read(p))], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_examples_of_a_guide_run_one_after_the_other(page, tmp_path, run_script):
    run_script(page_script(read(page)), tmp_path)


def test_the_figure_of_the_readme_is_what_its_table_gives(repository):
    script = repository / "docs" / "results" / "figure.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0


def test_the_changelog_begins_with_the_version_at_work(repository):
    import cluscomp

    version, state = re.search(
        r"^## \[([\d.]+)\] - (\S+)$", read(repository / "CHANGELOG.md"), re.MULTILINE
    ).groups()
    release, _, rest = cluscomp.__version__.partition(".dev")
    assert version == release
    assert (state == "unreleased") == bool(rest), "a version at work ends in .dev0, a released one has a date"
    assert rest or re.fullmatch(r"\d{4}-\d\d-\d\d", state)


def test_names_that_do_not_exist_are_seen():
    block = "import cluscomp as cc\ncc.KMeans(cc.nosuch)\nfrom cluscomp.eval import evaluate, neither\n"
    assert sorted(missing_names(ast.parse(block))) == ["cluscomp.eval.neither", "cluscomp.nosuch"]
