"""Viewers look: nothing else of a server is there, and their page has no control."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import TOKEN, Served, live, start

KERNEL = "00000000-0000-0000-0000-000000000000"
CLOSED = ["/api/kernels", "/api/contents", "/api/sessions", "/api/terminals", "/lab", "/tree"]
CLOSED += ["/api/risk-status", "/api/read-model", "/metrics", "/reports/", "/voila/files/x"]
CLOSED += ["/api/shutdown", "/files/dashboard.ipynb", "/voila/render/dashboard.ipynb"]


@pytest.fixture(scope="module")
def viewing(book_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("viewed") / "home"
    shutil.copytree(book_home, home, ignore=shutil.ignore_patterns("jupyter", "reports"))
    running = start(home, "view")
    yield running
    assert running.stop() == 0


@pytest.fixture
def viewer(viewing: Served) -> Iterator[httpx.Client]:
    with viewing.operator() as client:
        yield client


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_else_is_there(viewer: httpx.Client, path: str) -> None:
    assert viewer.get(path).status_code == 404
    assert viewer.post(path, json={}).status_code in (403, 404)


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_a_kernel_can_be_looked_at_only(viewer: httpx.Client, method: str) -> None:
    assert viewer.request(method, f"/api/kernels/{KERNEL}").status_code == 405
    assert viewer.request(method, "/").status_code == 405
    assert viewer.get(f"/api/kernels/{KERNEL}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/voila/static/voila.js", f"/api/kernels/{KERNEL}"])
def test_a_token_is_needed_and_the_host_is_ours(viewing: Served, path: str) -> None:
    with viewing.client() as nobody:
        found = nobody.get(path)
        assert found.status_code == 403 or found.headers["location"].startswith("/login")
    with viewing.client(Authorization=f"token {TOKEN}", Host="evil.example") as foreign:
        assert foreign.get(path).status_code == 403


def test_nobody_reaches_a_kernels_channel_without_a_token(viewing: Served) -> None:
    asking = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    asking["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    with viewing.client(**asking) as nobody:
        assert nobody.get(f"/api/kernels/{KERNEL}/channels").status_code == 403


def test_the_page_is_the_dashboard_without_controls(
    viewing: Served, browsers: Callable[[], Any]
) -> None:
    page = browsers().new_page()
    foreign: list[str] = []
    page.on("request", lambda sent: foreign.append(sent.url) if is_foreign(sent.url) else None)
    live(viewing, page)
    page.get_by_text("Kill switch").first.wait_for(timeout=30_000)
    assert page.locator("button:visible").count() == 0
    assert foreign == []


def is_foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
