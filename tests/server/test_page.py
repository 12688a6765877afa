"""The page in a real browser, and its colours by arithmetic."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from importlib.resources import files

import numpy as np
import pytest
from chromium import Browser, find_chromium
from server_running import Running

import cluscomp as cc

DIM = 16
TEXTS = {
    f"d{number}": (f"Title {number}", f"words about {word} and {other} " * 12)
    for number, (word, other) in enumerate(zip(["sun", "moon", "star", "tree", "leaf", "root", "sand", "rock", "wave"] * 4, ["one", "two", "three", "four", "five"] * 8, strict=False))
}  # fmt: skip
TEXTS["evil"] = (
    "<script>document.title='1'</script>",
    "<img src=x onerror=\"document.title='2'\"> sun <b>bold</b>",
)


class WordEncoder:
    """A text becomes one vector a word, or their mean."""

    def __init__(self, kind):
        from cluscomp.encoders.base import EncoderInfo

        self.info = EncoderInfo(
            name=kind, kind=kind, dim=DIM, normalize=True, query_prompt="", document_prompt="", max_seq_length=None,
            fingerprint=hashlib.blake2b(kind.encode(), digest_size=16).hexdigest(),
        )  # fmt: skip

    def encode_queries(self, texts, progress=None):
        parts = [np.array([self._row(word) for word in text.split()], np.float32) for text in texts]
        if self.info.kind == "tokens":
            return np.concatenate(parts), np.array([len(part) for part in parts])
        means = np.array([part.mean(axis=0) for part in parts])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    encode_documents = encode_queries

    def tokens(self, text, side):
        return text.split()

    def _row(self, word):
        seed = int.from_bytes(hashlib.blake2b(word.lower().encode(), digest_size=4).digest(), "little")
        row = np.random.default_rng(seed).standard_normal(DIM)
        return row / np.linalg.norm(row)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A server of indexes with texts: flat, small, many of a list for each text, and late of several vectors."""
    if find_chromium() is None:
        pytest.skip("no Chromium is here; install one, or set CLUSCOMP_CHROMIUM to its path")
    with pytest.MonkeyPatch.context() as patch:
        import cluscomp.encoders

        home = tmp_path_factory.mktemp("pages")
        patch.setenv("CLUSCOMP_CACHE", str(home / "cache"))
        real = cluscomp.encoders.load_encoder
        patch.setattr(
            cluscomp.encoders,
            "load_encoder",
            lambda name, kind, **_: real(name, kind) if kind == "words" else WordEncoder(kind),
        )
        corpus = home / "corpus.jsonl"
        lines = [
            json.dumps({"_id": one, "title": title, "text": text}) for one, (title, text) in TEXTS.items()
        ]
        corpus.write_text("\n".join(lines) + "\n")
        keys = {
            "flat": ("Flat", "dense"),
            "small": ("IVF4,PQ2x4", "dense"),
            "late": ("Pool4,Flat", "tokens"),
            "many": ("IVF37,Flat", "dense"),
        }
        folders = {}
        for name, (key, kind) in keys.items():
            folders[name] = home / name
            cc.build_index(
                corpus, index_key=key, output=home / name, encoder=WordEncoder(kind), store_texts=True
            )
        folders["ready"] = home / "ready"
        texts = [f"{title} {text}" for title, text in TEXTS.values()]
        cc.build_index(
            WordEncoder("dense").encode_queries(texts),
            texts=corpus,
            index_key="Flat+Sparse(bm25)",
            output=home / "ready",
        )
        with Running(folders, encoder=True) as server:
            yield server
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def browser(pages):
    with Browser(find_chromium()) as found:
        yield found


def hits(browser, column):
    script = f"[...document.querySelectorAll('.column')[{column}].querySelectorAll('li')].map((one) => [one.querySelector('.id').textContent, one.className])"
    return browser.run(script)


def test_hits_and_marks_are_those_of_the_two_indexes(pages, browser):
    browser.open(pages.url)
    browser.wait(
        "document.activeElement && document.activeElement.id === 'query' && document.querySelector('#second').value === 'late'"
    )
    browser.run(
        "document.querySelector('#second').value = 'small', document.querySelector('#second').dispatchEvent(new Event('change'))"
    )
    browser.type("words about sun")
    browser.press("Enter")
    browser.wait("document.querySelectorAll('.hits li').length === 20")
    core = pages.core.registry
    found = {}
    for name in ("flat", "small"):
        index = core.current(name).index
        found[name] = index.search(WordEncoder("dense").encode_queries(["words about sun"]), 10)[1][
            0
        ].tolist()
    assert [one for one, _ in hits(browser, 0)] == found["flat"]
    assert [one for one, _ in hits(browser, 1)] == found["small"]
    assert {one for one, mark in hits(browser, 0) if mark == "lost"} == set(found["flat"]) - set(
        found["small"]
    )
    assert {one for one, mark in hits(browser, 1) if mark == "won"} == set(found["small"]) - set(
        found["flat"]
    )
    both = len(set(found["flat"]) & set(found["small"]))
    assert browser.run("document.querySelector('#status').textContent").startswith(f"{both} common")
    assert browser.problems == []


def test_a_document_runs_no_script(pages, browser):
    browser.open(pages.url + "/#query=sun+bold&first=flat&k=40")
    browser.wait("[...document.querySelectorAll('.id')].some((one) => one.textContent === 'evil')")
    assert browser.run("document.title") == "cluscomp"
    assert browser.run("document.querySelectorAll('.hits img, .hits script, .hits b').length") == 0
    assert "<script>" in browser.run("document.querySelector('#results').textContent")
    assert browser.problems == []


def test_products_are_shown_by_token(pages, browser):
    browser.open(pages.url + "/#query=sun+moon&first=late&k=3")
    browser.wait("document.querySelectorAll('.hits li').length === 3")
    browser.run("document.querySelector('[aria-label^=Why]').click()")
    browser.wait("document.querySelector('#why').open")
    assert browser.run("[...document.querySelectorAll('#heat tbody th')].map((one) => one.textContent)") == [
        "sun",
        "moon",
    ]
    assert browser.run("document.querySelectorAll('#heat td.best').length") == 2
    heads = browser.run("document.querySelector('#heat thead').textContent")
    assert "sun" in heads or "moon" in heads
    browser.press("Escape")
    browser.wait("!document.querySelector('#why').open")
    assert browser.problems == []


def test_a_hybrid_index_whose_vectors_came_ready_is_searched_by_a_document(pages, browser):
    browser.open(pages.url + "/#query=d3&first=ready&k=5")
    browser.wait("document.querySelectorAll('.hits li').length === 5")
    assert hits(browser, 0)[0][0] == "d3"
    assert browser.run("document.querySelector('#query-label').textContent") == "Like document"
    assert browser.problems == []


def test_the_map_works_by_keyboard(pages, browser):
    browser.open(pages.url + "/#query=&first=small")
    browser.wait("document.querySelectorAll('#map circle').length === 4")
    browser.run("document.querySelector('#view').focus()")
    browser.press("Tab")
    assert browser.run("document.activeElement.tagName") == "circle"
    before = browser.run("document.activeElement.getAttribute('aria-label')")
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        browser.press(key)
    browser.press("Enter")
    browser.wait("document.querySelectorAll('#members li').length > 0")
    assert before.startswith("List ") and browser.problems == []


def test_cells_of_the_treemap_are_those_of_the_report(pages, browser):
    from cluscomp.eval.report.treemap import squarify

    browser.open(pages.url)
    browser.wait("typeof squarify === 'function'")
    for areas, *sides in (([6, 6, 4, 3, 2, 2, 1], 6, 4), ([9, 5, 5, 1], 3, 8), ([7], 2, 2)):
        found = browser.run(f"squarify({areas}, 1, 2, {sides[0]}, {sides[1]})")
        np.testing.assert_allclose(found, squarify(areas, 1, 2, *sides), atol=1e-9)
    merges = {"lists": [{"rows": rows, "cohesion": 0.5, "number": 0, "titles": []} for rows in (10, 30, 5, 50)],
              "merges": [[0, 1], [2, 3], [4, 5]]}  # fmt: skip
    browser.run(f"window.nodes = nodesOf({json.dumps(merges)}), 0")
    assert browser.run("nodes.map((node) => node.rows)") == [10, 30, 5, 50, 40, 55, 95]
    assert browser.run("cellsOf(nodes, 6)") == [3, 1, 0, 2] and browser.run("cellsOf(nodes, 4)") == [1, 0]


def test_the_treemap_opens_and_closes_by_keyboard(pages, browser):
    """37 lists are more than there are cells, so that some cells hold several."""
    browser.open(pages.url + "/#query=&first=many&map-index=many&view=tree")
    browser.wait("document.querySelectorAll('.cell').length === 24")
    everything = browser.run("document.querySelector('#tree-place').textContent")
    browser.run("document.querySelector('#view').focus()")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "cell"
    before = browser.run("document.activeElement.title")
    browser.press("ArrowDown")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.title") != before
    assert browser.run("document.querySelectorAll('.cell[tabindex=\"0\"]').length") == 1
    browser.run("[...document.querySelectorAll('.cell')].find((one) => / lists,/.test(one.title)).focus()")
    browser.press("Enter")
    browser.wait("document.querySelectorAll('.cell').length < 24")
    assert browser.run("document.querySelector('#tree-place').textContent").startswith("Inside: ")
    assert browser.run("document.activeElement.className") == "cell"
    browser.press("Enter")  # a list now, or again several
    browser.press("Escape")
    browser.wait(f"document.querySelector('#tree-place').textContent === {json.dumps(everything)}")
    browser.run("[...document.querySelectorAll('.cell')].find((one) => /^List /.test(one.title)).click()")
    browser.wait("document.querySelectorAll('#members li').length > 0")
    assert "<script>" in browser.run("[...document.querySelectorAll('.cell')].map((one) => one.title).join()")
    assert browser.run("document.querySelectorAll('.cell script, .cell b b, .cell img').length") == 0
    assert browser.run("document.title") == "cluscomp" and browser.problems == []


@pytest.mark.parametrize("width", [360, 700, 1600])
def test_nothing_leaves_the_window(pages, browser, width):
    browser.resize(width, 800)
    for place in (
        "/#query=sun&first=flat&second=late&k=40",
        "/#query=sun&first=many&map-index=many&view=tree",
        "/docs",
    ):
        browser.open(pages.url + place)
        browser.wait("document.querySelectorAll('li, article').length > 3")
        assert browser.run("document.documentElement.scrollWidth") <= width
    browser.resize(1280, 900)


def test_controls_have_names(pages, browser):
    browser.open(pages.url)
    browser.wait("document.querySelector('#first').options.length === 5")
    nameless = "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).map((one) => one.id)"
    assert browser.run(nameless) == []
    assert (
        browser.run(
            "[...document.querySelectorAll('button')].filter((one) => !one.textContent.trim()).length"
        )
        == 0
    )


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_have_the_contrast_of_wcag_aa(scheme):
    """Text 4.5 to 1, edges of controls and marks 3 to 1, in the light and in the dark scheme."""
    assert contrast("#fff", "#000") == pytest.approx(21)
    css = files("cluscomp.server").joinpath("page").joinpath("page.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme]
    colour = dict(re.findall(r"--([\w-]+): (#\w+);", block))
    pairs = [("ink", "paper"), ("ink", "box"), ("ink", "heat"), ("ink", "tree"), ("soft", "paper"), ("soft", "box"), ("link", "paper"),
             ("bad", "paper"), ("won", "won-box"), ("lost", "lost-box"), ("on-accent", "accent")]  # fmt: skip
    for text, behind in pairs:
        assert contrast(colour[text], colour[behind]) >= 4.5, (text, behind)
    for edge in ("field", "accent", "won", "lost"):
        assert contrast(colour[edge], colour["paper"]) >= 3, edge
