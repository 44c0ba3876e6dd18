"""The board's widgets over a real ledger: redrawn when it changes, acting only when confirmed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as widgets
import pytest
from chronicle import Chronicle

from hybridnb.app.alerts import alerts
from hybridnb.app.dashboard import dashboard_notebook, open_board, template_paths
from hybridnb.app.dashboard.board import Board
from hybridnb.app.dashboard.poll import Watch
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import act, asked
from hybridnb.errors import Missing


@pytest.fixture
def opened() -> Iterator[Callable[..., Board]]:
    boards: list[Board] = []

    def board(**given: Any) -> Board:
        boards.append(open_board(poll_seconds=0.05, **given))
        return boards[-1]

    yield board
    for each in boards:
        each.close()


def every(widget: Any, kind: Any) -> list[Any]:
    """The widgets of a kind that can be seen, in the order of the page."""
    if widget.layout.display == "none":
        return []
    below = [found for child in getattr(widget, "children", ()) for found in every(child, kind)]
    return [widget, *below] if isinstance(widget, kind) else below


def page(board: Board) -> str:
    return "".join(html.value for html in every(board.widget, widgets.HTML))


def button(board: Board, label: str) -> Any:
    return next(
        b for b in every(board.widget, widgets.Button) if b.description.rstrip("…") == label
    )


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 90  # a shared machine is slow now and then
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_change_in_the_ledger_is_on_the_page(opened: Callable[..., Board]) -> None:
    book = Chronicle()
    book.trade()
    board = opened()
    assert "LATCHED" not in page(board)
    book.kill()
    until(lambda: "LATCHED" in page(board))
    act("halt", reason="another desk's word")
    until(lambda: "another desk&#39;s word" in page(board))


def test_what_hasnt_changed_isnt_sent_again(opened: Callable[..., Board]) -> None:
    Chronicle().trade()
    board = opened()
    sent: list[str] = []
    for html in every(board.widget, widgets.HTML):
        html.observe(lambda change: sent.append(change["new"]), names="value")
    board.draw()
    assert [value for value in sent if "data-beat" not in value and "data-age" not in value] == []


def test_a_control_asks_for_a_reason_and_cancelling_does_nothing(
    opened: Callable[..., Board],
) -> None:
    Chronicle().trade()
    board = opened()
    button(board, "Brake").click()
    button(board, "Record it").click()
    assert "A reason is needed" in page(board)
    button(board, "Cancel").click()
    assert "Emergency brake" not in page(board)
    assert asked(open_ledger()) == []


def test_a_confirmed_control_acts_once_and_says_what_became_of_it(
    opened: Callable[..., Board],
) -> None:
    Chronicle().trade()
    board = opened()
    button(board, "Stop entries").click()
    choice = every(board.widget, widgets.Dropdown)[-1]
    assert choice.value == "halt"
    choice.value = "reduce"
    every(board.widget, widgets.Text)[0].value = "spreads <b>wide</b>"
    confirm = button(board, "Record it")
    confirm.click()
    confirm.click()
    assert [(a["action"], a["reason"]) for a in asked(open_ledger())] == [
        ("reduce", "spreads <b>wide</b>")
    ]
    assert "reduce recorded as" in page(board)
    until(lambda: "spreads &lt;b&gt;wide&lt;/b&gt;" in page(board))


def test_an_alert_has_its_own_button(opened: Callable[..., Board]) -> None:
    book = Chronicle()
    book.kill()
    board = opened()
    count = len(alerts(open_ledger()))
    newest = alerts(open_ledger())[-1]
    assert f"{count} to acknowledge" in page(board)
    button(board, "Acknowledge").click()
    question = next(h for h in every(board.widget, widgets.HTML) if "hb-question" in h.value)
    assert newest["text"] in question.value
    every(board.widget, widgets.Text)[0].value = "seen"
    every(board.widget, widgets.Button)[-2].click()
    found = {a["id"]: a["acknowledged"] for a in alerts(open_ledger())}
    assert found[newest["id"]]["reason"] == "seen"
    until(lambda: (f"{count - 1} to acknowledge" if count > 1 else "No alert waits") in page(board))


def test_a_refusal_stays_in_the_dialog(opened: Callable[..., Board]) -> None:
    book = Chronicle()
    book.kill()
    reply = book.reply(stay=True)
    board = opened()
    button(board, "Withdraw").click()
    every(board.widget, widgets.Text)[0].value = " "
    button(board, "Withdraw it").click()
    assert "Not done." in page(board)
    every(board.widget, widgets.Text)[0].value = "it misread the tape"
    button(board, "Withdraw it").click()
    assert f"{reply} (frontier: a model) is out from the next opening" in page(board)


def test_a_slow_control_leaves_the_page_live(opened: Callable[..., Board]) -> None:
    Chronicle().trade()
    board = opened()
    button(board, "Clear quarantine").click()
    every(board.widget, widgets.Text)[0].value = "over"
    button(board, "Ask and clear").click()
    assert "may take minutes" in page(board)
    assert "Clear the quarantine" not in page(board)
    until(lambda: "Clear quarantine not done: book isn&#39;t in quarantine" in page(board))


def test_books_are_chosen_among(opened: Callable[..., Board]) -> None:
    Chronicle(name="alpha").trade()
    beta = Chronicle(name="beta")
    beta.kill()
    board = opened(book="alpha")
    assert "LATCHED" not in page(board)
    every(board.widget, widgets.Dropdown)[0].value = "beta"
    until(lambda: "LATCHED" in page(board))
    button(board, "Force DEMO").click()
    which = every(board.widget, widgets.Dropdown)[-1]
    assert (which.value, which.options[-1]) == ("beta", ("every book", ""))


def test_viewers_have_no_controls(
    opened: Callable[..., Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    Chronicle().kill()
    monkeypatch.setenv("HYBRIDNB_READ_ONLY", "1")
    board = opened()
    assert "LATCHED" in page(board)
    assert "to acknowledge" in page(board)
    assert every(board.widget, (widgets.Button, widgets.Text)) == []


def test_an_empty_home_opens(opened: Callable[..., Board]) -> None:
    assert "no session was traded yet" in page(opened())


def test_a_row_that_nobody_expected_leaves_the_controls(opened: Callable[..., Board]) -> None:
    Chronicle().trade()
    open_ledger().append(
        "session", [{"kind": "session_closed", "book": "odd", "session": "2040-01-01"}]
    )
    board = opened()
    assert "The ledger can&#39;t be read" in page(board)
    button(board, "Stop entries").click()
    every(board.widget, widgets.Text)[0].value = "nothing can be seen"
    button(board, "Record it").click()
    assert [a["reason"] for a in asked(open_ledger())] == ["nothing can be seen"]
    until(lambda: "data-beat" in page(board))


def test_hostile_text_in_the_ledger_is_shown_as_text(opened: Callable[..., Board]) -> None:
    Chronicle().trade()
    act("halt", reason="<script>alert(1)</script><img src=x onerror=alert(2)>")
    shown = page(opened())
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_what_cant_be_read_is_said_and_tried_again() -> None:
    told: list[str] = []
    tries = iter([Missing("the ledger is away"), 1])
    drawn, beaten = threading.Event(), threading.Event()

    def version() -> int:
        found = next(tries, 1)
        if isinstance(found, Exception):
            raise found
        return found

    watch = Watch(
        version=version,
        seen=0,
        changed=drawn.set,
        pulse=beaten.set,
        failed=lambda error: told.append(str(error)),
        every=0.01,
    )
    watch.start()
    assert drawn.wait(10)
    assert beaten.wait(10)
    watch.stop()
    assert told == ["the ledger is away"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_watcher_has_no_pulse() -> None:
    beats: list[float] = []

    def broken() -> int:
        raise SystemExit

    watch = Watch(
        version=broken,
        seen=0,
        changed=lambda: None,
        pulse=lambda: beats.append(time.monotonic()),
        failed=lambda _: None,
        every=0.01,
    )
    watch.start()
    time.sleep(1.3)
    count = len(beats)
    time.sleep(1.3)
    watch.stop()
    assert len(beats) == count <= 1


def test_its_text_for_other_readers_is_one_line(opened: Callable[..., Board]) -> None:
    bundle = opened()._repr_mimebundle_()
    assert bundle["text/plain"] == "The dashboard of `hybridnb serve`, live in a running kernel"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_the_template_is_found_first_and_the_notebook_is_there() -> None:
    assert (dashboard_notebook()).is_file()
    assert template_paths()[0].endswith("share/voila/templates/hybridnb-dashboard")


HEAVY = ("torch", "sklearn", "stable_baselines3", "matplotlib", "arch", "papermill", "voila")


def test_it_never_imports_what_is_heavy() -> None:
    Chronicle().kill()
    code = (
        "import json, sys; from hybridnb.app.dashboard import open_board;"
        "b = open_board(); b.draw(); b.close();"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
