"""A page as PDF: printed by a real browser, or told what is missing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hybridnb.app.html import page
from hybridnb.app.pdf import BROWSER, browser, print_pdf
from hybridnb.errors import CheckFailed, Missing

try:
    browser()
    THERE = True
except Missing:
    THERE = False


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "index.html"
    path.write_text(page("Title", "<p>Hello</p>"), encoding="utf-8")
    return path


def program(folder: Path, body: str) -> str:
    path = folder / "browser"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.skipif(not THERE, reason="Chromium isn't installed")
def test_a_page_is_printed_once(report: Path) -> None:
    made = print_pdf(report)
    assert made == report.with_suffix(".pdf") and made.read_bytes()[:5] == b"%PDF-"
    before = made.stat()
    assert print_pdf(report).stat() == before, "a page that didn't change isn't printed again"
    later = made.stat().st_mtime + 5
    os.utime(report, (later, later))
    assert print_pdf(report).stat().st_mtime_ns != before.st_mtime_ns
    assert sorted(p.name for p in report.parent.iterdir()) == ["index.html", "index.pdf"]


def test_without_a_browser_the_remedy_is_told(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(BROWSER, raising=False)
    with pytest.raises(Missing) as caught:
        print_pdf(report)
    assert "apt-get install chromium" in caught.value.remedy
    monkeypatch.setenv(BROWSER, "/nowhere/chrome")
    with pytest.raises(Missing, match="no program"):
        browser()


def test_a_browser_that_fails_leaves_nothing(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BROWSER, program(tmp_path, "echo it broke >&2; exit 3"))
    with pytest.raises(CheckFailed, match="exit 3, it broke"):
        print_pdf(report)
    assert not report.with_suffix(".pdf").exists()


def test_what_isnt_there_cant_be_printed(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="isn't there"):
        print_pdf(tmp_path / "none.html")
