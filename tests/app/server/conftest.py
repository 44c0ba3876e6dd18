"""One real server for the tests of it, over a home with a book that was killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chronicle import Chronicle
from served import Served, start

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def book_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("served")
    reports = home / "reports"
    reports.mkdir()
    (reports / "index.html").write_text("<p>days</p><script>document.title='ran'</script>")
    (reports / "day.pdf").write_bytes(b"%PDF-1.4")
    (reports / ".hidden").write_text("hidden")
    (reports / "out.txt").symlink_to(home / "server.log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDNB_HOME", str(home))
        Chronicle().kill(3)
    return home


@pytest.fixture(scope="session")
def served(book_home: Path) -> Iterator[Served]:
    running = start(book_home, "serve", "--no-schedule")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browsers() -> Iterator[Callable[[], Any]]:
    """What opens a browser of its own; all are closed in the end."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    opened = []
    with sync_playwright() as playwright:

        def another() -> Any:
            opened.append(playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET))
            return opened[-1]

        yield another
        for browser in opened:
            browser.close()
