"""The product's values as people see them in a notebook: a table that is escaped, or plain text.

`register` hands them to IPython's formatters by name, so that nothing is loaded for it and no
value needs to know of IPython. What isn't known is a dash.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DASH = "–"
_UNIT = 10_000  # money is in 1/10,000 of the account's currency
MOST = 100  # rows of one table; the rest is counted
_WIDE = 100  # characters of one cell of plain text
_WELL, _ILL = frozenset({"PASS", "holds", "reached"}), frozenset({"FAIL", "missed"})
_GOOD, _BAD = "#1f9d78", "#d2553f"  # readable on light and on dark
_FIGURE = re.compile(r"[-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?%?")


@dataclass(frozen=True, slots=True)
class Shown:
    """A value ready to be shown: a title, a sentence, one table, and pictures below it.

    `rows` are as wide as `head`; an empty head makes a table of names and values.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""
    pictures: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return html_of(self)

    def __repr__(self) -> str:
        return text_of(self)


def cell(value: Any) -> str:
    """A value as text: a dash for None, NaN and nothing, figures with their thousands."""
    match value:
        case None | "":
            return DASH
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            if math.isnan(value):
                return DASH
            return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:,.4g}"
        case list() | tuple() | set() | frozenset():
            return ", ".join(cell(each) for each in value) or DASH
    return str(value)


def money(units: float | None) -> str:
    """An exact amount in account units; below a cent with all four places."""
    if units is None or units != units:
        return DASH
    places = 4 if units % 100 else 2
    return f"{units / _UNIT:,.{places}f}"


def share(value: float | None) -> str:
    """A share of equity in percent."""
    return DASH if value is None or value != value else f"{value:.2%}"


def html_of(shown: Shown) -> str:
    """Markup of a value: every text in it escaped, scrolling by itself where it is wide."""
    rows = [tuple(cell(value) for value in row) for row in shown.rows[:MOST]]
    right = [bool(shown.head) and _figures(column) for column in zip(*rows, strict=True)]
    head = "".join(
        f"<th scope='col' style='{_style(name, aside)}'>{escape(name)}</th>"
        for name, aside in zip(shown.head, right or [False] * len(shown.head), strict=False)
    )
    lines = "".join(f"<tr>{_markup(row, right, bool(shown.head))}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    more = len(shown.rows) - MOST
    rest = f"<p>… and {more:,} more rows</p>" if more > 0 else ""
    note = f"<p>{escape(shown.note)}</p>" if shown.note else ""
    drawn = "".join(f"<figure>{svg}</figure>" for svg in shown.pictures)
    title = f"<strong>{escape(shown.title)}</strong>" if shown.title else ""
    body = f"<table>{top}<tbody>{lines}</tbody></table>" if rows else "<p>nothing</p>"
    return f"<div class='hybridnb' style='overflow-x:auto'>{title}{note}{body}{rest}{drawn}</div>"


def _markup(row: Sequence[str], right: Sequence[bool], columns: bool) -> str:
    """Cells of a row; without column heads the first is the row's own."""
    name, style = row[0], f"{_style(row[0], False)};white-space:nowrap"
    named = "" if columns else f"<th scope='row' style='{style}'>{escape(name)}</th>"
    cells = list(zip(row, right, strict=True))[0 if columns else 1 :]
    return named + "".join(
        f"<td style='{_style(text, aside)}'>{escape(text)}</td>" for text, aside in cells
    )


def _figures(texts: Sequence[str]) -> bool:
    """Whether a column is one of figures."""
    known = [text for text in texts if text != DASH]
    return bool(known) and all(_FIGURE.fullmatch(text) for text in known)


def _style(text: str, right: bool) -> str:
    colour = _GOOD if text in _WELL else _BAD if text in _ILL else ""
    side = "right;font-variant-numeric:tabular-nums" if right else "left"
    return f"padding:.15em .8em .15em 0;text-align:{side};vertical-align:top" + (
        f";color:{colour}" if colour else ""
    )


def text_of(shown: Shown) -> str:
    """The same for a terminal: columns aligned, one line a row."""
    table = [shown.head] if shown.head else []
    table += [tuple(_line(cell(value)) for value in row) for row in shown.rows[:MOST]]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))] if table else []
    lines = [
        "  " + "  ".join(f"{text:<{w}}" for text, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    more = len(shown.rows) - MOST
    lines += [f"  … and {more:,} more rows"] if more > 0 else []
    note = [_line(shown.note)] if shown.note else []
    title = [_line(shown.title)] if shown.title else []
    return "\n".join([*title, *note, *(lines or ["  nothing"])])


def _line(text: str) -> str:
    """One line without control characters, so that no text steers a terminal."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return flat if len(flat) <= _WIDE else flat[: _WIDE - 1] + "…"


def pairs(title: str, values: Mapping[str, Any], *, note: str = "") -> Shown:
    """Names and values."""
    return Shown(title, (), tuple((name, value) for name, value in values.items()), note)


def table_of(title: str, rows: Sequence[Mapping[str, Any]], *, note: str = "") -> Shown:
    """Rows of equal keys as a table."""
    head = tuple(rows[0]) if rows else ()
    return Shown(title, head, tuple(tuple(row[name] for name in head) for row in rows), note)


def framed(frame: pd.DataFrame, title: str = "", *, places: int = 4) -> Shown:
    """A table of figures and words, whole: rounded, a dash for NaN, no text cut short."""
    rows = [
        tuple(round(v, places) if isinstance(v, float) else v for v in row)
        for row in frame.itertuples(index=False, name=None)
    ]
    return Shown(title, tuple(map(str, frame.columns)), tuple(rows))


def shown(value: Any) -> Shown:
    """A value of the product, a row of its ledger, or a verdict, ready to be shown.

    Raises
    ------
    TypeError
        For a value that has no form of its own here.
    """
    from hybridnb.app.display_forms import FORMS, ROWS

    known = type(value)
    form: Callable[[Any], Shown] | None = FORMS.get((known.__module__, known.__qualname__))
    if form is None and isinstance(value, Mapping):
        form = ROWS.get("verdict" if "gates" in value else str(value.get("kind")))
    if form is None:
        raise TypeError(f"{known.__name__} has no form of its own")
    return form(value)


def plain_fields(value: Any) -> dict[str, Any]:
    """Fields of a dataclass, by name."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def register(shell: Any) -> None:
    """Let an IPython shell show the product's values; asked twice, it is done once."""
    from hybridnb.app.display_forms import FORMS

    rich = shell.display_formatter.formatters["text/html"]
    plain = shell.display_formatter.formatters["text/plain"]
    for module, name in FORMS:
        rich.for_type_by_name(module, name, lambda value: html_of(shown(value)))
        plain.for_type_by_name(
            module, name, lambda value, printer, cycle: printer.text(text_of(shown(value)))
        )


def register_here() -> None:
    """As `register`, where this runs in an IPython shell; anywhere else nothing."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    if shell is not None:
        register(shell)


def unregister(shell: Any) -> None:
    """Take the forms out of a shell again."""
    from hybridnb.app.display_forms import FORMS

    for kind in ("text/html", "text/plain"):
        formatter = shell.display_formatter.formatters[kind]
        for module, name in FORMS:
            formatter.deferred_printers.pop((module, name), None)
            for known in [t for t in formatter.type_printers if _named(t) == (module, name)]:
                formatter.pop(known)


def _named(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__
