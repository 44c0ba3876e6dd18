"""The dashboard as people meet it: Chromium on a page of a real Voila."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from chronicle import Chronicle

from hybridnb.app.alerts import alerts
from hybridnb.app.dashboard.panels import PANELS
from hybridnb.app.dashboard.shot import QUIET, served
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act, asked

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright isn't installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium isn't installed")
EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
SLOW = 120_000  # ms: a shared machine is slow now and then


@dataclass(frozen=True)
class Site:
    """One home with a killed book, its dashboard's address and server, and a browser."""

    home: Path
    address: str
    pid: int
    browser: Any


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDNB_HOME", str(home))
        book = Chronicle()
        book.trade(0.01)
        book.kill()
        with served() as (address, pid), playwright.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
            yield Site(home, address, pid, browser)
            browser.close()


@pytest.fixture
def opened(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("HYBRIDNB_HOME", str(site.home))
    contexts: list[Any] = []

    def page(*, width: int = 1440, scheme: str = "light") -> Any:
        size = {"width": width, "height": 900}
        contexts.append(site.browser.new_context(viewport=size, color_scheme=scheme))
        found = contexts[-1].new_page()
        found.set_default_timeout(SLOW)
        found.requested = []
        found.on("request", lambda request: found.requested.append(request.url))
        found.goto(site.address)
        found.wait_for_selector("html.ready")
        return found

    yield page
    for context in contexts:
        context.close()


def test_every_panel_is_there_and_nothing_comes_from_outside(
    site: Site, opened: Callable[..., Any]
) -> None:
    page = opened()
    titles = [h.inner_text() for h in page.get_by_role("heading").all()]
    # Reliability comes with the first verdict.
    assert [p.title for p in PANELS if p.name != "reliability"] == titles
    assert page.get_by_text("■ LATCHED", exact=True).is_visible()
    outside = [url for url in page.requested if not url.startswith((site.address, "data:"))]
    assert outside == []
    act("reduce", reason="a change elsewhere")
    page.get_by_text("a change elsewhere").wait_for()


def test_each_control_is_confirmed_with_a_reason_and_leaves_its_row(
    opened: Callable[..., Any],
) -> None:
    page = opened()
    chosen = (
        ("Stop entries", "Reduce: positions only shrink", "Record it", "reduce"),
        ("Brake", "On: no entries at once", "Record it", "brake-on"),
        ("Withdraw orders", "Every symbol", "Withdraw them", "cancel-all"),
    )
    for label, option, verb, action in chosen:
        page.get_by_role("button", name=label).click()
        page.get_by_role("dialog").get_by_role("combobox").first.select_option(option)
        page.get_by_role("textbox", name="Reason").fill(f"because of {action} <i>")
        page.get_by_role("button", name=verb).click()
        page.get_by_text(f"{action} recorded as").wait_for()
        page.get_by_text(f"not applied yet: because of {action} <i>").wait_for()
        assert asked(open_ledger())[-1]["reason"] == f"because of {action} <i>"
    waiting = len([a for a in alerts(open_ledger()) if a["acknowledged"] is None])
    page.get_by_role("button", name="Acknowledge").first.click()
    page.get_by_role("textbox", name="Reason").fill("seen")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    page.get_by_text(
        f"{waiting - 1} to acknowledge" if waiting > 1 else "No alert waits"
    ).wait_for()


def test_the_keyboard_is_enough(opened: Callable[..., Any]) -> None:
    page = opened()
    focused = "document.activeElement.innerText || document.activeElement.placeholder || ''"
    page.locator("body").focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "Brake…":
            break
    assert page.evaluate(focused) == "Brake…"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    before = len(asked(open_ledger()))
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.wait_for_function("document.activeElement.tagName === 'SELECT'")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.wait_for_function(f"({focused}) === 'Brake…'")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.tagName === 'SELECT'")
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Record it"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # around, not out of the dialog
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_text("not applied yet: by hand").wait_for()
    assert [a["reason"] for a in asked(open_ledger())[before:]] == ["by hand"]


def test_a_phone_in_the_dark(opened: Callable[..., Any]) -> None:
    page = opened(width=390, scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    board = "getComputedStyle(document.querySelector('.hb-board'))"
    assert page.evaluate(f"{board}.backgroundColor") == "rgb(15, 19, 24)"
    boxes = [b.bounding_box() for b in page.get_by_role("button").all() if b.is_visible()]
    assert min(box["height"] for box in boxes) >= 44
    page.get_by_role("button", name="Force DEMO").click()
    box = page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_lost_page_greys_and_comes_back_by_itself(site: Site, opened: Callable[..., Any]) -> None:
    page = opened()
    lost = page.locator("#lost")
    page.context.set_offline(True)
    lost.get_by_text("No network. Shown as it was").wait_for()
    assert "grayscale" in page.evaluate("getComputedStyle(document.querySelector('main')).filter")
    assert page.evaluate("document.querySelector('main').inert")
    page.context.set_offline(False)
    lost.wait_for(state="hidden")
    assert not page.evaluate("document.querySelector('main').inert")
    for kernel in psutil.Process(site.pid).children():
        kernel.kill()
    lost.get_by_text("No connection. Shown as it was").wait_for()
    page.evaluate("document.body.dataset.before = 'kept'")
    page.wait_for_function("document.body.dataset.before === undefined")
    page.wait_for_selector("html.ready")
    assert page.get_by_text("■ LATCHED", exact=True).is_visible()
    assert lost.is_hidden()


@pytest.mark.skipif(not EVIDENCE, reason="starts a second server: with HYBRIDNB_EVIDENCE=1")
def test_a_picture_is_taken(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDNB_HOME", str(site.home))
    out = tmp_path / "docs" / "dashboard.png"
    # In a process of its own: the browser of these tests has its loop in this one.
    code = (
        "import sys; from pathlib import Path; from hybridnb.app.dashboard import picture;"
        "picture(Path(sys.argv[1]), width=800, height=500, scheme='dark')"
    )
    subprocess.run([sys.executable, "-c", code, str(out)], check=True)
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(out.read_bytes()[16:20], "big") == 800
