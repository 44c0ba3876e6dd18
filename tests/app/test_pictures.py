"""Pictures for the README: small, of the newest day, or a word on what is missing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridnb.app.html import page
from hybridnb.app.pdf import BROWSER
from hybridnb.app.pictures import LIMIT, day_page, main, page_picture, reduced
from hybridnb.errors import Missing

CHROMIUM = Path("/usr/bin/chromium")


def written(path: Path, *, title: str = "Day", age: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, "<p>" + "Words. " * 200 + "</p>"), encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_newest_day_is_the_last_session_s(tmp_path: Path) -> None:
    old = written(tmp_path / "2013-03-01" / "index.html")
    assert day_page(tmp_path) == old
    new = written(tmp_path / "2013-03-04" / "index.html", age=100)
    written(tmp_path / "2013-03-04" / "training" / "index.html")
    written(tmp_path / "power-1" / "index.html")
    assert day_page(tmp_path) == new


def test_without_a_day_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no day was reported"):
        day_page(tmp_path)


def test_a_large_picture_is_reduced_and_one_that_can_t_be_isn_t_written(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (120, 120, 3), np.uint8)
    raw, out = tmp_path / "raw.png", tmp_path / "out" / "small.png"
    Image.fromarray(noise).save(raw)
    assert raw.stat().st_size > 40_000
    assert reduced(raw, out, limit=12_000) == out
    assert out.stat().st_size <= 12_000
    with Image.open(out) as small:
        assert small.size == (120, 120)
    with pytest.raises(Missing, match="larger than 1,000 bytes"):
        reduced(raw, tmp_path / "never.png", limit=1_000)
    assert not list(tmp_path.glob("*never*")) and not list(out.parent.glob(".*"))


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="Chromium isn't installed")
def test_a_page_becomes_a_small_picture_of_its_top(tmp_path: Path) -> None:
    source, out = written(tmp_path / "2013-03-01" / "index.html"), tmp_path / "day.png"
    assert page_picture(source, out, width=600, height=400) == out
    assert out.stat().st_size <= LIMIT
    with Image.open(out) as picture:
        assert picture.size == (600, 400)
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 2  # something is drawn


def test_without_chromium_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(BROWSER, str(tmp_path / "nothing"))
    source = written(tmp_path / "2013-03-01" / "index.html")
    assert main(["--page", str(source), "--out", str(tmp_path)]) == Missing.exit_code
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "remedy: " in said
