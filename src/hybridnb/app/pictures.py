"""Pictures for the README, of a day and of the dashboard: `python -m hybridnb.app.pictures`.

Chromium shows the newest report of a day, and the dashboard of the home in force; the pictures are
reduced to few colours, so that a checkout stays small.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hybridnb.app.home import checkout, home, reports_folder
from hybridnb.app.pdf import browser
from hybridnb.errors import HybridnbError, Missing

LIMIT = 150_000  # bytes of a picture
COLOURS = (256, 128, 64, 32, 16)  # tried in turn until the picture is within `LIMIT`
WIDTH, HEIGHT = 1200, 1350  # of the page, in pixels
SECONDS = 60
HISTORY = 36_500.0  # days: a book of past years is shown as on its own last day, not as old
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)


def day_page(reports: Path) -> Path:
    """The newest page of a day: that of the last session, and of several the last written.

    Raises
    ------
    Missing
        When no day was reported.
    """
    # A day's folder begins with its session's date.
    found = [page for page in reports.glob("[0-9]*/index.html") if page.is_file()]
    if not found:
        raise Missing("no day was reported yet", remedy="Run `hybridnb day` first.")
    return max(found, key=lambda p: (p.relative_to(reports).parts[0], p.stat().st_mtime))


def page_picture(page: Path, out: Path, *, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """The top of a page as a PNG of at most `LIMIT` bytes.

    Raises
    ------
    Missing
        Without Chromium, or where it made no picture.
    """
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch, "page.png")
        command = [browser(), *_QUIET, f"--user-data-dir={scratch}/profile"]
        command += [f"--window-size={width},{height}", f"--screenshot={raw}", page.as_uri()]
        done = subprocess.run(
            command, capture_output=True, timeout=SECONDS, check=False, env=os.environ
        )
        if not raw.is_file():
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise Missing(f"Chromium made no picture of {page}: {said}")
        return reduced(raw, out)


def reduced(raw: Path, out: Path, *, limit: int = LIMIT) -> Path:
    """A PNG in as many colours as fit into so many bytes, written whole or not at all.

    Raises
    ------
    Missing
        Where even the fewest colours are too many.
    """
    from PIL import Image

    out.parent.mkdir(parents=True, exist_ok=True)
    made = out.with_name(f".{out.name}.part")
    with Image.open(raw) as picture:
        for colours in COLOURS:
            few = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
            few.save(made, format="PNG", optimize=True)
            if made.stat().st_size <= limit:
                return made.replace(out)
    made.unlink()
    raise Missing(f"{out.name} would be larger than {limit:,} bytes", remedy="Take a smaller page.")


def pictures(folder: Path, *, page: Path | None = None) -> list[Path]:
    """Both pictures: of a day's report, by default the newest, and of the dashboard."""
    from hybridnb.app.dashboard import picture

    day = page_picture(page or day_page(reports_folder(home())), folder / "day.png")
    with tempfile.TemporaryDirectory() as scratch:
        whole = picture(Path(scratch, "board.png"), stale_days=HISTORY)
        board = reduced(whole, folder / "dashboard.png")
    return [day, board]


def main(words: Sequence[str] | None = None) -> int:
    """Make them; the exit code of what is missing where something is."""
    root = checkout()
    ask = argparse.ArgumentParser(prog="python -m hybridnb.app.pictures", description=__doc__)
    ask.add_argument("--page", type=Path, help="A page; the newest day's by default.")
    ask.add_argument("--out", type=Path, default=(root or Path()) / "docs", help="Their folder.")
    given = ask.parse_args(words)
    try:
        for made in pictures(given.out, page=given.page):
            sys.stdout.write(f"{made} {made.stat().st_size:,} bytes\n")
    except HybridnbError as error:
        sys.stderr.write(f"error: {error}\nremedy: {error.remedy}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
