"""The documentation as a site: the pages that zensical reads, and a look at what it made of them.

Usage: docs_site.py stage FOLDER, then zensical build in FOLDER, then docs_site.py check FOLDER/html.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOPS = {
    "README.md": "start.md",  # a README would take the place of index.md
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}
"""Pages that stand beside docs/ in the repository -> their names in the site."""
LINK = re.compile(rf"\]\(((?:\.\./)*)({'|'.join(map(re.escape, TOPS))})")
REMOTE = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|"""
    r"""<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//"""
)
"""Tags that make a browser load something from elsewhere."""


def stage(folder: Path) -> None:
    """Pages and settings as zensical wants them: links between the tops and docs/ follow the tops inside."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    for page in (folder / "docs").rglob("*.md"):
        text = LINK.sub(_inside, page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
    for name, page_name in TOPS.items():
        text = LINK.sub(_inside, (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "]("))
        (folder / "docs" / page_name).write_text(text, encoding="utf-8")


def _inside(link: re.Match[str]) -> str:
    """One folder less upwards, and the name in the site."""
    return f"]({link[1].removeprefix('../')}{TOPS[link[2]]}"


def faults(html: Path) -> list[str]:
    """Pages that were not made, and pages that load something from elsewhere."""
    sources = [page.relative_to(html.parent / "docs") for page in (html.parent / "docs").rglob("*.md")]
    found = [f"no page was made of {s}" for s in sources if not (html / s.with_suffix(".html")).is_file()]
    for page in html.rglob("*.html"):
        found += [f"{page.name} loads {m[0]}" for m in REMOTE.finditer(page.read_text(encoding="utf-8"))]
    return found


def main(what: str, folder: Path) -> int:
    if what == "stage":
        stage(folder)
        return 0
    found = faults(folder)
    pages = len(list(folder.rglob("*.html")))
    print(f"{pages} pages", *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
