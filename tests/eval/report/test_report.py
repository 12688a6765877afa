"""The report: one file, complete without a network, drawn by a real browser where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from tiny_benchmark import write_collection, write_config

from cluscomp.errors import EmptyInputError
from cluscomp.eval.benchmark import read_config, run_benchmark
from cluscomp.eval.report import pareto_front, render_report, write_report

pytest.importorskip("plotly")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    table = write_collection(folder / "tiny")
    keys = '["Flat", { key = "IVF8,PQ8x4,RSQ8", label = "<b>&\\"" }, "PQ4", "IVF512,Flat"]'
    return run_benchmark(read_config(write_config(folder, table, keys)), folder / "out").rows


@pytest.fixture(scope="module")
def report(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(rows, path, title="Tiny & <small>", notes=["scann is not installed"])


def test_all_figures_and_rows_are_there(report, rows):
    text = report.read_text(encoding="utf-8")
    page = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    for kind in ("quality", "speed", "loss", "balance", "latency"):
        assert f'id="d-tiny-{kind}"' in page
    assert page.count("<tr data-command=") == len([row for row in rows if row["error"] is None])
    assert "Tiny &amp; &lt;small&gt;" in page
    assert '<b>&"' not in page  # a label is text, not markup
    assert "scann is not installed" in page
    assert "512 training rows, but got 400" in page
    for row in rows[:2]:
        assert row["processor"] in page
    assert re.search(r"cluscomp build-index [^\"]*--index-key Flat --seed 0", page)


def test_it_needs_no_other_file_and_no_network(report):
    text = report.read_text(encoding="utf-8")
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text)
    assert not [tag for tag in tags if "src=" in tag or "href=" in tag]
    assert len(text) > 1_000_000  # plotly.js is inside


def test_commands_are_in_the_hover_texts(report):
    text = report.read_text(encoding="utf-8")
    assert "cluscomp build-index" in text[text.rindex("Plotly.newPlot") :]
    assert text.count("Plotly.newPlot(") >= 5


def test_a_report_of_nothing_is_refused(rows):
    with pytest.raises(EmptyInputError):
        render_report([row for row in rows if row["error"] is not None])


@pytest.mark.parametrize("width", [1200, 420])
def test_a_browser_draws_it(report, width, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
               f"--window-size={width},900", "--virtual-time-budget=8000", "--dump-dom", report.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r'data-ready="[1-9]', done.stdout), "the page's script did not run to its end"
    drawn = done.stdout[done.stdout.index("<body") :]
    assert drawn.count('class="main-svg"') >= 10  # plotly draws two layers a figure
    for text in ("uncompressed, exact", "coarse miss", "queries a second", "milliseconds a query"):
        assert text in drawn, text


def test_pareto_front():
    points = [(1, 5), (2, 6), (3, 6), (2, 7), (1, 5), (4, 9)]
    assert pareto_front(points, (False, True)) == [0, 3, 5]
    assert pareto_front(points, (True, True)) == [5]
    assert pareto_front([], (True,)) == []
