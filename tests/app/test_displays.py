"""Values are shown as what they are: known answers, a dash for the unknown, nothing unescaped."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from hybridnb.app import displays
from hybridnb.app.backtest import Backtest
from hybridnb.app.consistency import Comparison
from hybridnb.app.display_forms import FORMS
from hybridnb.app.displays import DASH, cell, html_of, money, share, shown, text_of
from hybridnb.app.lab import open_lab
from hybridnb.app.rerun import Way
from hybridnb.app.review import Reviewed
from hybridnb.app.row_differences import Difference
from hybridnb.blender import Score
from hybridnb.book import Book
from hybridnb.domain import Fill, Leg, Mode, Order, OrderState, OrderType, Position, Side, Status
from hybridnb.escalation.changes import Change, InForce, Training
from hybridnb.gates.evidence import Check, Figure, Gate
from hybridnb.gates.planted_overfit import Power
from hybridnb.gates.verdict import verdict
from hybridnb.limits import limits
from hybridnb.policy import Policy

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m'\"&"
ORDER = Order(
    client_id="c1",
    symbol="AAPL",
    side=Side.BUY,
    quantity=1200,
    type=OrderType.STOP,
    leg=Leg.STOP,
    state=OrderState.PARTIALLY_FILLED,
    decision_id="d1",
    stop=4_414_000,
    filled=200,
    refusals=("KELLY",),
    note="held",
)
FILL = Fill("f1", "c1", "AAPL", Side.BUY, Leg.ENTRY, 10, 4_415_000, 4_414_000, 10_000, 10_000, "t")
HELD = Position(
    symbol="AAPL",
    quantity=10,
    cost=44_150_000,
    multiplier=1,
    atr=2.0,
    stop=4_000_000,
    target=5_000_000,
    best=4_500_000,
    decision_id="d1",
    opened="2013-03-01",
)
FIGURE = Figure("Sharpe", None, ">=", 1.0, 250, None, "returns")
GATE = Gate("performance", Status.FAIL, (FIGURE, Figure("n", 3.0, ">", 2.0, 3, True)), "too few")
POWER = Power("drift", "shift", 9, 10, 0.9, 0.55, 0.99, None, "at least 80 %", True)
VALUES: dict[str, Any] = {
    "order": ORDER,
    "fill": FILL,
    "position": HELD,
    "book": Book(10_000_000, {"AAPL": HELD}, sip_units=3),
    "empty book": Book(10_000_000),
    "score": Score(0.7, 0.1, 0.0, 0.0, 0.0, 0.6, 0, 0.4),
    "limits": limits(Policy(), Mode.DEMO),
    "policy": Policy(),
    "figure": FIGURE,
    "gate": GATE,
    "check": Check("PSI", Status.INSUFFICIENT_EVIDENCE, "few rows", 3),
    "power": POWER,
    "change": Change("blend.buy", 0.67, 0.7, "fewer trades"),
    "difference": Difference("decision", "AAPL", "score", 0.7, None),
}


class Tags(HTMLParser):
    """Names of elements and attributes, and all text, as a browser would read them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, DASH),
        (math.nan, DASH),
        (np.float64("nan"), DASH),
        ("", DASH),
        ((), DASH),
        (0, "0"),
        (0.0, "0"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (-12345.678, "-12,345.68"),
        (True, "yes"),
        (("a", None), f"a, {DASH}"),
    ],
)
def test_a_cell_is_a_figure_or_a_dash(value: Any, said: str) -> None:
    assert cell(value) == said


def test_money_is_exact_and_shares_are_percent() -> None:
    assert money(12_345_600) == "1,234.56"
    assert money(-1) == "-0.0001"
    assert money(0) == "0.00"
    assert money(None) == money(math.nan) == share(None) == share(math.nan) == DASH
    assert share(0.01234) == "1.23%"


def test_known_answers() -> None:
    order, fill = text_of(shown(ORDER)), text_of(shown(FILL))
    assert order.splitlines()[0] == "BUY 1,200 AAPL, stop"
    assert "200 of 1,200" in order and "441.40" in order and "partially_filled" in order
    assert "KELLY: Kelly is zero, negative or unknown: no edge to bet on" in order
    assert f"limit     {DASH}" in order
    assert fill.splitlines()[0] == "BUY 10 AAPL at 441.50"
    assert "2.266" in fill  # 0.1 of 441.4 on each of ten, in bps
    gate = text_of(shown(GATE))
    assert gate.splitlines()[:2] == ["performance: FAIL", "too few"]
    assert ">= 1" in gate and "not enough evidence" in gate and "holds" in gate
    assert "INSUFFICIENT EVIDENCE" in text_of(shown(VALUES["check"]))
    assert "9 of 10" in text_of(shown(POWER)) and "reached" in text_of(shown(POWER))
    assert text_of(shown(Book(10_000_000))).splitlines()[:2] == [
        "Book: cash 1,000.00",
        "Nothing is held.",
    ]
    assert "name CORE" in text_of(shown(VALUES["limits"]))
    assert "blend.buy" in text_of(shown(Policy())) and "clamps.name_core" in text_of(
        shown(Policy())
    )


@pytest.mark.parametrize("name", VALUES)
def test_markup_and_text_say_the_same(name: str) -> None:
    found = shown(VALUES[name])
    read, text = Tags(html_of(found)), text_of(found)
    for row in found.rows:
        for value in row:
            assert cell(value) in read.text
            assert cell(value)[:90] in text
    assert found.title in read.text and text.startswith(found.title)
    assert set(read.tags) <= {"div", "strong", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert "nan" not in read.text.lower().split() and "None" not in read.text


@pytest.mark.parametrize("name", ["order", "fill", "position", "gate", "check", "power", "change"])
def test_no_text_becomes_markup_or_steers_a_terminal(name: str) -> None:
    value = VALUES[name]
    texts = {f.name: HOSTILE for f in dataclasses.fields(value) if _free(getattr(value, f.name))}
    assert texts, name
    found = shown(dataclasses.replace(value, **texts))
    read = Tags(html_of(found))
    assert "script" not in read.tags and "img" not in read.tags
    assert set(read.attributes) <= {"class", "style", "scope"}
    assert "<script>" in read.text
    assert "\x1b" not in text_of(found)


def _free(value: Any) -> bool:
    return type(value) is str


@given(st.text(max_size=200), st.lists(st.text(max_size=50), max_size=3))
def test_any_text_stays_text(title: str, cells: list[str]) -> None:
    found = displays.Shown(title, (), tuple((each, each) for each in cells), title)
    read = Tags(html_of(found))
    assert set(read.tags) <= {"div", "strong", "p", "table", "tbody", "tr", "th", "td"}
    assert len(text_of(found).splitlines()) <= len(cells) + 3


def test_a_verdict_and_its_review_show_every_figure_and_the_curve() -> None:
    found = verdict([GATE], model_version="m1", session="2013-03-01", ordinal=5, digests={})
    told = text_of(shown(found))
    assert told.startswith("Verdict of 2013-03-01: FAIL") and "m1" in told and "Sharpe" in told
    sessions = pd.bdate_range("2013-02-25", periods=3)
    backtest = Backtest(pd.Series([100.0, 90.0, 95.0], index=sessions), ())
    markup = html_of(shown(Reviewed(found, backtest, None, None)))  # type: ignore[arg-type]
    assert "Sharpe" in markup and "worst drawdown -10.00%" in markup


def test_a_comparison_names_what_differs() -> None:
    rows = {"decision": 3}
    equal = Comparison("b", "2013-03-01", "", Way.COMPUTED, rows, (), ("a note",))
    assert text_of(shown(equal)).splitlines()[:2] == [
        "b 2013-03-01: equal",
        "3 rows compared; a note",
    ]
    apart = dataclasses.replace(equal, differences=(VALUES["difference"],))
    assert "NOT equal" in text_of(shown(apart)) and "score" in text_of(shown(apart))


def test_replies_in_force_show_each_diff() -> None:
    change = Change("blend.buy", 0.67, 0.7, HOSTILE)
    found = InForce(
        *(Policy(), False, False, (), Training(1.0, 0.1, 0.1, 0.0)),
        changes=(change,),
        proposals=(change,),
        passed_over=(),
        sources=("r1",),
    )
    said = text_of(shown(found))
    assert "replies that hold: r1" in said and "changed" in said and "proposed" in said
    assert "<script>" not in html_of(shown(found))


def test_a_day_says_what_it_is() -> None:
    said = text_of(shown(open_lab("sample", session="2013-03-01")))
    assert said.startswith("sample, 2013-03-01") and "AAPL" in said and "12,154" in said


def test_long_tables_are_cut_and_counted() -> None:
    found = displays.table_of("T", [{"a": i} for i in range(displays.MOST + 7)])
    assert "and 7 more rows" in html_of(found) and "and 7 more rows" in text_of(found)
    assert text_of(displays.table_of("T", [])) == "T\n  nothing"


def test_a_frame_is_shown_whole() -> None:
    frame = pd.DataFrame({"x": [0.123456, np.nan], "why": ["w" * 80, HOSTILE]})
    found = displays.framed(frame)
    assert text_of(found).splitlines()[1].split() == ["0.1235", "w" * 80]
    assert text_of(found).splitlines()[2].split()[0] == DASH
    assert "w" * 80 in html_of(found) and "<script>" not in html_of(found)


def test_what_has_no_form_is_told() -> None:
    with pytest.raises(TypeError, match="int has no form"):
        shown(3)
    with pytest.raises(TypeError, match="dict has no form"):
        shown({"kind": "mark"})


@pytest.mark.parametrize(("module", "name"), FORMS, ids=lambda part: part)
def test_every_form_is_of_a_class_that_exists(module: str, name: str) -> None:
    assert isinstance(getattr(import_module(module), name), type)


def test_a_shell_shows_them_rich_and_forgets_them() -> None:
    shell = InteractiveShell()
    displays.register(shell)
    displays.register(shell)
    format_ = shell.display_formatter.format
    assert format_(ORDER)[0]["text/plain"] == text_of(shown(ORDER))
    assert format_(ORDER)[0]["text/html"] == html_of(shown(ORDER))
    assert "text/html" in format_(Policy())[0]
    displays.unregister(shell)
    assert set(format_(ORDER)[0]) == {"text/plain"} and "Order(" in format_(ORDER)[0]["text/plain"]
    assert "text/html" not in format_(GATE)[0]


def test_outside_of_ipython_nothing_is_registered_or_loaded() -> None:
    code = (
        "import sys, hybridnb.app.displays as d; d.register_here();"
        "print('IPython' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
