"""docs/api.md is what docs/api/page.py makes of the docstrings."""

from __future__ import annotations

import re
import subprocess
import sys

import cluscomp


def test_page_is_up_to_date(repository, tmp_path):
    script = repository / "docs" / "api" / "page.py"
    subprocess.run([sys.executable, script, tmp_path / "api.md"], check=True, capture_output=True)
    made = (tmp_path / "api.md").read_text(encoding="utf-8")
    kept = (repository / "docs" / "api.md").read_text(encoding="utf-8")
    assert made == kept, "docstrings have changed; run: python docs/api/page.py"


def test_page_has_every_public_name(repository):
    text = (repository / "docs" / "api.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) | set(
        re.findall(r"^- `(\w+)`", text, re.MULTILINE)
    )
    assert set(cluscomp.__all__) - {"errors", "__version__"} <= headings
    for word in (
        "#### Index.search",
        "#### KMeans.predict",
        "### distributed.build",
        "IVFn  ",
        "**Raises**",
        "k_beyond",
    ):
        assert word in text
    assert "Args:" not in text and "Returns:" not in text
