"""Every alert that code can raise has a page, and no page is of an alert that none raises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hybridnb
from hybridnb import risk
from hybridnb.app import frontier, live_prices, session
from hybridnb.app.alert_pages import PAGES, alert_rows, page_of
from hybridnb.app.contacts import ROLES
from hybridnb.escalation import quota

SOURCE = Path(hybridnb.__file__).parent
NAMED = (
    *(risk.KILL_ALERT, risk.QUARANTINE_ALERT, risk.SOFT_HALT_ALERT, risk.UNKNOWN_PNL_ALERT),
    risk.QUARANTINE_DAILY.format(left=3),
    *(live_prices.STALLED, live_prices.BACK, live_prices.CLOCK, session.NO_RL_ALERT),
    *(frontier.UNAVAILABLE, frontier.OFFLINE),
    quota.ALERT.format(call="Regime Auditor", number=1, of=3),
)


def texts() -> Iterator[tuple[str, str]]:
    """Each text that is handed to `alert` or `alerted` as it stands, with a word for each value."""
    for path in sorted(SOURCE.rglob("*.py")):
        scope: dict[str, str] = {}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                if isinstance(value, ast.JoinedStr):
                    scope[node.targets[0].id] = filled(value, {})
            elif isinstance(node, ast.Call) and called(node) in ("alert", "alerted"):
                for arg in node.args:
                    if isinstance(arg, ast.JoinedStr):
                        yield path.name, filled(arg, scope)
                    elif isinstance(arg, ast.Name) and arg.id in scope:  # named before
                        yield path.name, scope[arg.id]


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def filled(node: ast.JoinedStr, scope: dict[str, str]) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            name = getattr(getattr(part, "value", None), "id", "")
            parts.append(scope.get(name, "12"))
    return "".join(parts)


FOUND = tuple(texts())


def test_the_search_finds_what_is_raised() -> None:
    found = {name for name, _ in FOUND}
    assert {"desk.py", "live_desk.py", "broker_desk.py", "live.py", "live_prices.py"} <= found


@pytest.mark.parametrize("text", [*NAMED, *(text for _, text in FOUND)])
def test_every_alert_has_its_page(text: str) -> None:
    page = page_of(text)
    assert page is not None and page.means and page.act and page.call in ROLES


def test_no_page_is_of_an_alert_that_none_raises() -> None:
    raised = [*NAMED, *(text for _, text in FOUND)]
    for page in PAGES:
        assert any(page_of(text) is page for text in raised), page.text


def test_the_special_page_comes_before_the_general_one() -> None:
    found = page_of("100 units of AAPL without a stop—flattening")
    assert found is not None and "units" in found.text
    assert page_of("the gateway is gone—stopped") is PAGES[-1]
    assert page_of("something else") is None


def test_the_table_has_a_row_a_page_and_breaks_no_table() -> None:
    rows = alert_rows()
    assert len(rows) == len(PAGES)
    assert not any("|" in cell or "\n" in cell for row in rows for cell in row)
    assert all(row[0].count("`") == 2 for row in rows)
