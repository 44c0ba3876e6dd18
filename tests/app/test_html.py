"""Pages that ask for nothing, do nothing, and stay readable."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.app.html import LIMIT, drawing, page, sanitised, to_html

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' viewBox="0 0 200 60" aria-label="three bars"><defs><clipPath id="c"><rect width="200"'
    ' height="60"/></clipPath></defs><g clip-path="url(#c)" style="fill: #3f7fd6">'
    '<path id="bar" d="M5 50H25V20H5Z"/><use xlink:href="#bar" x="40"/></g>'
    '<text x="90" y="40">α &lt; β</text></svg>'
)
HOSTILE = (
    "<script>alert(1)</script><img src='http://out.example/x.png' onerror='alert(1)'>"
    "<a href='https://out.example/'>link</a><a href='//out.example/'>same</a>"
    "<a href='java&#115;cript:alert(1)'>js</a><iframe src='http://out.example/'></iframe>"
    "<style>@import url(http://out.example/x.css); body{background:url(//out.example)}</style>"
    "<div style='background:url(http://out.example/y.png)' onclick='x()'>kept</div>"
    "<link rel='stylesheet' href='http://out.example/z.css'><base href='http://out.example/'>"
    "<svg><image href='http://out.example/a.png'/></svg><form action='http://out.example/'>"
    "<video src='http://out.example/v'></video><meta http-equiv='refresh' content='0;url=http:x'>"
)


class Asked(HTMLParser):
    """Everything in a page that could fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "xlink:href", "action", "data", "poster"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            self.addresses += re.findall(r"url\(\s*[\"']?([^)\"']*)", value or "")


def asked(text: str) -> Asked:
    found = Asked()
    found.feed(text)
    found.addresses += re.findall(
        r"url\(\s*[\"']?([^)\"']*)", "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    )
    return found


def inert(text: str) -> bool:
    found = asked(text)
    outside = [a for a in found.addresses if not re.match(r"#|data:|[\w./-]+\.(?:html|ipynb)$", a)]
    forbidden = {"script", "iframe", "object", "embed", "base", "form", "video", "audio"}
    return not outside and not found.handlers and not forbidden & found.tags


def executed(*outputs: Any, source: str = "make()", heading: str = "# The notebook") -> Any:
    cell = nbformat.v4.new_code_cell(source)
    cell.outputs = list(outputs)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(heading), cell])


def data(**kinds: str) -> Any:
    return nbformat.v4.new_output(
        "display_data", {k.replace("_", "/"): v for k, v in kinds.items()}
    )


def rich() -> Any:
    frame = pd.DataFrame({"symbol": ["A & B", "<C>"], "weight": [0.25, float("nan")]})
    made = executed(
        nbformat.v4.new_output(
            "stream", name="stdout", text="a < b\n\x1b[31mred\x1b[0m\n10%\r99%\n"
        ),
        nbformat.v4.new_output("display_data", {"image/svg+xml": SVG, "text/plain": "bars"}),
        nbformat.v4.new_output("display_data", {"image/svg+xml": SVG}),
        nbformat.v4.new_output("execute_result", {"text/html": frame.to_html(), "text/plain": "t"}),
        nbformat.v4.new_output("display_data", {"text/html": HOSTILE}),
        nbformat.v4.new_output(
            "error", ename="ValueError", evalue="x", traceback=["\x1b[0;31mValueError\x1b[0m: <x>"]
        ),
        source="frame < 3  # <b>",
    )
    made.cells.append(nbformat.v4.new_markdown_cell(f"## Text **bold** `code`\n\n{HOSTILE}"))
    return made


def test_a_page_of_everything_is_inert_and_whole() -> None:
    text = to_html(rich(), title="Risk & <return>", banner="broke: <b>")
    assert inert(text), asked(text).addresses
    assert "out.example" not in text and "alert(1)" not in text
    assert "<title>Risk &amp; &lt;return&gt;</title>" in text
    assert text.count("<h1") == 1 and "The notebook" not in text
    assert "<html lang='en'>" in text and "name='viewport'" in text
    assert "prefers-color-scheme: dark" in text and "@media print" in text and "70ch" in text
    assert "broke: &lt;b&gt;" in text
    assert "a &lt; b" in text and "\x1b" not in text and "10%" not in text and "99%" in text
    assert "A &amp; B" in text and "&lt;C&gt;" in text and ">kept<" in text
    assert re.search(r"<details><summary>code</summary><pre><code>frame &lt; 3", text)
    assert "ValueError: &lt;x&gt;" in text and "<strong>bold</strong>" in text


def test_drawings_stand_inline_with_ids_of_their_own() -> None:
    text = to_html(rich(), title="t")
    assert text.count("<svg") == 2 and text.count("α &lt; β") == 2
    ids = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    first, second = (set(re.findall(r' id="([^"]+)"', found)) for found in ids)
    assert first and not first & second
    for found in ids:
        named = set(re.findall(r' id="([^"]+)"', found))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', found)) <= named
        assert 'viewBox="0 0 200 60"' in found and 'aria-label="three bars"' in found


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject><p xmlns='http://www.w3.org/1999/xhtml' onclick='a()'/></foreignObject>",
        "<rect onload='alert(1)'/>",
        "<image href='http://out.example/a.png'/>",
        "<rect style='fill: url(http://out.example/#a)'/>",
        "<rect fill='url( \"//out.example/#a\" )'/>",
        "<style>@import 'http://out.example/a.css';</style>",
        "<animate attributeName='href' to='http://out.example'/>",
        "<a href='http://out.example'><text>x</text></a>",
    ],
)
def test_a_drawing_only_draws(inside: str) -> None:
    made = drawing(f'<svg xmlns="http://www.w3.org/2000/svg">{inside}<circle r="3"/></svg>')
    assert "out.example" not in made and "alert" not in made and inert(made)
    assert '<circle r="3" />' in made


@pytest.mark.parametrize(
    "text",
    [
        "<svg",
        "<p xmlns='x'/>",
        "<!DOCTYPE s [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>",
    ],
)
def test_what_is_no_drawing_is_said(text: str) -> None:
    assert "[" in drawing(text) and "<svg" not in drawing(text)


@given(st.text(alphabet="<>/='\" \n&;#:abchijlmnoprstu()xv", max_size=60))
def test_no_markup_survives_that_could_run(text: str) -> None:
    assert inert(sanitised(f"<p>{text}</p>"))
    assert inert(sanitised(f"<img {text}><scr<script></script>ipt>{text}"))


def test_page_escapes_its_title_and_links() -> None:
    text = page("<i>", "<p>as it is</p>", nav=[("<day>", "a'b.html")])
    assert "<title>&lt;i&gt;</title>" in text and "<p>as it is</p>" in text
    assert "<a href='a&#x27;b.html'>&lt;day&gt;</a>" in text


def test_a_page_is_never_over_the_limit_and_says_what_it_cut() -> None:
    outputs = [nbformat.v4.new_output("stream", name="stdout", text="é" * 150_000)] * 6
    text = to_html(executed(*outputs), title="t")
    assert LIMIT / 10 < len(text.encode()) <= LIMIT
    assert "[cut: 150,000 characters" in text
    small = to_html(executed(outputs[0]), title="t")
    assert "[cut:" not in small and "é" * 150_000 in small
    sources = executed(source="x = 1\n" * 400_000)
    assert len(to_html(sources, title="t", banner="b").encode()) <= LIMIT


def test_it_takes_a_path_and_is_the_same_each_time(tmp_path: Path) -> None:
    nbformat.write(rich(), tmp_path / "n.ipynb")
    assert to_html(tmp_path / "n.ipynb", title="t") == to_html(rich(), title="t")


def test_chromium_renders_it_offline_without_a_request(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium: install the package chromium (apt-get install chromium)")
    path = tmp_path / "index.html"
    path.write_text(to_html(rich(), title="t", nav=[("n", "index.html")]), encoding="utf-8")
    requests: list[str] = []
    problems: list[str] = []
    with playwright.sync_playwright() as p:
        launched = p.chromium.launch(
            executable_path=browser,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        shown = launched.new_context(viewport={"width": 390, "height": 800}).new_page()
        shown.on("request", lambda r: requests.append(r.url))
        shown.on("console", lambda m: problems.append(m.text))
        shown.on("pageerror", lambda e: problems.append(str(e)))
        shown.goto(path.as_uri())
        width = shown.evaluate("document.documentElement.scrollWidth")
        bar = shown.locator("svg path").first.bounding_box()
        closed = shown.locator("pre code").first.is_visible()
        shown.locator("summary").first.click()
        opened = shown.locator("pre code").first.is_visible()
        backs = []
        for scheme in ("light", "dark"):
            shown.emulate_media(color_scheme=scheme)
            backs.append(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
        launched.close()
    assert [r for r in requests if not r.startswith("data:")] == [path.as_uri()]
    assert problems == []
    assert width <= 390, "the page scrolls sideways on a phone"
    assert bar is not None and bar["width"] > 10 and bar["height"] > 10
    assert not closed and opened
    assert backs[0] != backs[1]
