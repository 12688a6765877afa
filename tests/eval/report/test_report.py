"""The report: one file, complete without a network, drawn by a real browser where there is one."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import signal
import subprocess

import pytest
from tiny_benchmark import write_collection, write_config, write_tokens

from cluscomp.errors import EmptyInputError
from cluscomp.eval.compare import compare_indexes, read_config
from cluscomp.eval.report import pareto_front, render_report, write_report

pytest.importorskip("plotly")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    table = write_collection(folder / "tiny")
    keys = '["Flat", { key = "IVF8,PQ8x4,RSQ8", label = "<b>&\\"" }, "PQ4", "IVF512,Flat", "Pool2,IVF8,SQ4"]'
    config = write_config(folder, table, keys)
    config.write_text(config.read_text() + f"tokens = {write_tokens(folder / 'tiny')}\n")
    return compare_indexes(read_config(config), folder / "out").rows


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


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (760, "light"), (420, "dark")])
def test_a_browser_draws_it(report, width, scheme, tmp_path):
    drawn = browse(report, tmp_path, width, scheme)
    assert re.search(r'data-ready="[1-9]', drawn), "the page's script did not run to its end"
    assert f'data-scheme="{scheme}"' in drawn
    body = drawn[drawn.index("<body") :]
    assert body.count('class="main-svg"') >= 10  # plotly draws two layers a figure
    for text in ("uncompressed, exact", "all token vectors, exact", "pooling", "coarse miss", "queries a second",
                 "milliseconds a query", "cluscomp, token vectors"):  # fmt: skip
        assert text in body, text


POINTER = """<script>
const plot = document.getElementById("d-tiny-quality");
const mark = plot.querySelector(".scatterlayer .points path");
mark.scrollIntoView({block: "center"});
const box = mark.getBoundingClientRect();
const place = {bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
const over = document.elementFromPoint(place.clientX, place.clientY);
plot.on("plotly_hover", () => {
  const told = [...plot.querySelectorAll(".hoverlayer .hovertext")].map((box) => box.textContent).join("");
  document.documentElement.dataset.told = told;
  for (const kind of ["mousedown", "mouseup", "click"]) over.dispatchEvent(new MouseEvent(kind, place));
});
over.dispatchEvent(new MouseEvent("mousemove", place));
</script>"""


def test_pointing_at_a_mark_tells_key_and_command(report, rows, tmp_path):
    page = tmp_path / "pointed.html"
    before, end, after = report.read_text(encoding="utf-8").rpartition("</body>")
    page.write_text(before + POINTER + end + after, encoding="utf-8")
    drawn = browse(page, tmp_path, 1200, "light")
    told = re.search(r'data-told="([^"]*)"', drawn)
    assert told is not None, "no box came up at the mark"
    assert told[1].startswith("Flat") and "bytes a document" in told[1]
    assert re.search(r"cluscomp build-index .*--index-key Flat", told[1])
    shown = re.search(r'<div class="command"><button type="button">copy</button><pre>([^<]*)</pre>', drawn)
    assert shown is not None, "a click did not show the command"
    assert html.unescape(shown[1]) == rows[0]["command"]


def browse(page, folder, width, scheme):
    """The page's document after its scripts ran in a browser without a window.

    Output goes to a file: helper processes that outlive the browser would hold a pipe open, and reading it would
    never end. The whole process group is ended with the browser, or after a minute.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--disable-extensions", "--disable-background-networking", "--disable-breakpad",
               f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--timeout=30000",
               "--virtual-time-budget=8000", "--dump-dom", page.as_uri()]  # fmt: skip
    command += ["--force-dark-mode"] * (scheme == "dark")
    out, errors = folder / "dom.html", folder / "errors.txt"
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
        try:
            code = process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            pytest.fail(
                f"{browser} did not end within two minutes: {errors.read_text(errors='replace')[-2000:]}"
            )
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert code == 0, errors.read_text(errors="replace")[-2000:]
    return out.read_text(encoding="utf-8")


def test_pareto_front():
    points = [(1, 5), (2, 6), (3, 6), (2, 7), (1, 5), (4, 9)]
    assert pareto_front(points, (False, True)) == [0, 3, 5]
    assert pareto_front(points, (True, True)) == [5]
    assert pareto_front([], (True,)) == []
