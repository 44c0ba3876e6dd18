"""Kernels of the dashboard end with their pages: by the clock, and with a real browser."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import TOKEN, Served, opened

from hybridnb.app.server.reaper import LEFT, NEVER, Kernel, Watch

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def looks(watch: Watch, clock: Clock, *seen: tuple[float, int]) -> list[list[str]]:
    """What is to be ended at each (time, connections) of one kernel."""
    found = []
    for at, connections in seen:
        clock.now = at
        found.append(watch.left([Kernel("k", connections)]))
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_kernel_that_was_left_is_ended_after_ten_seconds(clock: Clock) -> None:
    seen = looks(Watch(clock), clock, (0, 0), (2, 1), (4, 0), (11.9, 0), (12, 0))
    assert seen == [[], [], [], [], ["k"]]


def test_a_page_that_comes_back_in_time_keeps_its_kernel(clock: Clock) -> None:
    seen = looks(Watch(clock), clock, (0, 1), (9, 0), (9.9, 1), (19, 0), (20, 0))
    assert seen == [[], [], [], [], ["k"]]


def test_a_kernel_that_no_page_ever_reached_is_gone_within_a_minute(clock: Clock) -> None:
    assert looks(Watch(clock), clock, (0, 0), (49, 0), (50, 0)) == [[], [], ["k"]]


def test_a_page_that_was_there_between_two_looks_counts(clock: Clock) -> None:
    watch = Watch(clock)
    assert watch.left([Kernel("k", 0)]) == []
    for at, due in ((2.0, []), (11.9, []), (12.0, ["k"])):
        clock.now = at
        assert watch.left([Kernel("k", 0, met=True)]) == due


def test_a_kernel_that_is_gone_is_forgotten(clock: Clock) -> None:
    watch = Watch(clock)
    looks(watch, clock, (0, 1))
    assert watch.left([]) == []
    assert looks(watch, clock, (300, 0), (311, 0), (420, 0)) == [[], [], ["k"]]


@given(st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 2)), max_size=60))
def test_only_what_nobody_looks_at_is_ended_and_never_too_early(
    steps: list[tuple[float, int]],
) -> None:
    clock = Clock()
    watch, last, had = Watch(clock), 0.0, False
    watch.left([Kernel("k", 0)])
    for wait, connections in steps:
        clock.now += wait
        if connections:
            last, had = clock.now, True
        idle = clock.now - last
        due = idle >= (LEFT if had else NEVER)
        assert watch.left([Kernel("k", connections)]) == (["k"] if due else [])


def kernels(served: Served) -> list[dict[str, Any]]:
    with served.operator() as operator:
        found: list[dict[str, Any]] = operator.get("/api/kernels").json()
    return [kernel for kernel in found if kernel["name"] == "hybridnb-dashboard"]


def none_within(served: Served, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while kernels(served) and time.monotonic() < deadline:
        time.sleep(0.25)
    return not kernels(served)


def test_a_page_that_is_left_ends_its_kernel_at_once(
    served: Served, browsers: Callable[[], Any]
) -> None:
    page = opened(served, browsers())
    assert [kernel["connections"] for kernel in kernels(served)] == [1]
    page.goto(f"{served.url}/reports/")
    assert none_within(served, 5.0)


def test_pages_that_crash_leave_no_kernel(served: Served, browsers: Callable[[], Any]) -> None:
    for _ in range(10 if EVIDENCE else 2):
        browser = browsers()
        page = opened(served, browser)
        crashing = page.context.new_cdp_session(page)
        crashing.send("Page.enable")
        page.on("crash", lambda _: None)
        with pytest.raises(Exception, match=r"crash|closed"):
            page.goto("chrome://crash", timeout=5_000)
    assert none_within(served, 60.0)


def test_kernels_of_lab_are_let_be_and_no_beacon_ends_them(served: Served) -> None:
    with served.operator() as operator:
        made = operator.post("/api/kernels", json={"name": "python3"}).json()["id"]
        assert operator.post(f"/voila/api/shutdown/{made}").status_code == 404
        assert made in [kernel["id"] for kernel in operator.get("/api/kernels").json()]
        assert operator.delete(f"/api/kernels/{made}").status_code == 204
        gone = "00000000-0000-0000-0000-000000000000"
        assert operator.post(f"/voila/api/shutdown/{gone}").status_code == 204


def test_a_beacon_needs_a_login_and_our_origin_and_no_more(served: Served) -> None:
    address = "/voila/api/shutdown/00000000-0000-0000-0000-000000000000"
    with served.client() as nobody:
        assert nobody.post(address, headers={"Origin": served.url}).status_code == 403
    with served.client() as visitor:
        assert visitor.get(f"/reports/?token={TOKEN}").status_code == 200  # logs in
        assert visitor.post(address, headers={"Origin": served.url}).status_code == 204
        assert visitor.post(address, headers={"Origin": "http://evil.example"}).status_code == 404
        assert visitor.post(address).status_code == 403
