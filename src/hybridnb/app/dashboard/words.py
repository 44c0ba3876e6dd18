"""How the dashboard writes numbers, times and limits; every text from outside is escaped here.

`Markup.format` escapes what it is given, so that a panel can't forget to.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

UNKNOWN = Markup('<span class="unk" title="unknown">–<span class="sr"> unknown</span></span>')
NOTHING = Markup("")
_LOOSE = Markup("").join


def markup(pieces: Iterable[Markup | str]) -> Markup:
    """Pieces one after the other; plain text among them is escaped."""
    return _LOOSE(pieces)


def known(value: object) -> float | None:
    """A finite number, or None: a read-model says None where it doesn't know."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def number(value: object, places: int = 2, *, signed: bool = False) -> Markup:
    """A number with a thousands separator and a true minus."""
    found = known(value)
    if found is None:
        return UNKNOWN
    return Markup("{}").format(_minus(f"{found:{'+' if signed else ''},.{places}f}"))


def share(value: object, places: int = 2, *, signed: bool = False) -> Markup:
    """A share as percent."""
    found = known(value)
    if found is None:
        return UNKNOWN
    text = _minus(f"{100.0 * found:{'+' if signed else ''},.{places}f}")
    return Markup('{}<span class="unit">%</span>').format(text)


def money(value: object, currency: object = "", *, places: int = 0, signed: bool = False) -> Markup:
    """An amount, its currency after it where one is known."""
    found = number(value, places, signed=signed)
    if found is UNKNOWN or not currency:
        return found
    return Markup('{}<span class="unit"> {}</span>').format(found, str(currency))


def _minus(text: str) -> str:
    """A true minus sign; nothing is below zero by less than what is shown."""
    if text[:1] in "+-" and not text.strip("+-0.,"):
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


def words(value: object) -> Markup:
    """A text from outside, escaped; unknown where there is none."""
    return UNKNOWN if value is None or value == "" else Markup("{}").format(str(value))


def instant(value: object) -> dt.datetime | None:
    """A time of the read-model in UTC; a bare date is its midnight, None where it is no time."""
    if not isinstance(value, str) or not value:
        return None
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def moment(value: object, now: dt.datetime | None = None) -> Markup:
    """A time in UTC: of another day with its date; a bare date as it is."""
    found = instant(value)
    if found is None:
        return words(value)
    text = str(value)
    if len(text) > 10:
        text = f"{found:{_form(found, now)}}"
    full = Markup('<time datetime="{}" title="{} UTC">{}</time>')
    return full.format(found.isoformat(), f"{found:%Y-%m-%d %H:%M:%S}", text)


def _form(found: dt.datetime, now: dt.datetime | None) -> str:
    """How much of a time must be said: of today the clock, of this year no year."""
    here = now.astimezone(dt.UTC) if now is not None else None
    if here is not None and found.date() == here.date():
        return "%H:%M:%S"
    return "%d %b %H:%M" if here is not None and found.year == here.year else "%Y-%m-%d %H:%M"


def length(seconds: float) -> str:
    """How long something lasts or lies back, in its two largest words at most."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left = max(0, int(seconds))
    if left >= 2 * 365 * 86_400:
        return f"{left // (365 * 86_400)} y"
    for at, (name, size) in enumerate(units):
        if left >= size:
            whole, rest = divmod(left, size)
            after = units[at + 1] if at + 1 < len(units) and whole < 3 else ("", 0)
            more = f" {rest // after[1]} {after[0]}" if after[1] and rest >= after[1] else ""
            return f"{whole} {name}{more}"
    return "0 s"


def ago(value: object, now: dt.datetime) -> Markup:
    """How old a time is; the page keeps counting from there by itself."""
    found = instant(value)
    if found is None:
        return UNKNOWN
    text = length((now - found).total_seconds())
    return Markup('<time datetime="{}" data-age>{}</time>').format(found.isoformat(), text)


def gauge(share_used: object, *, state: str = "", label: str) -> Markup:
    """A bar of what is used of a limit; a tick stands at 80 %. The numbers stand beside it.

    Parameters
    ----------
    state : str
        warn or bad colours the bar.
    """
    of = known(share_used)
    if of is None:
        return Markup('<span class="gauge none" aria-hidden="true"></span>')
    width = f"{100.0 * min(max(of, 0.0), 1.0):.1f}"
    return Markup(
        '<span class="gauge {}" role="meter" aria-label="{}" aria-valuemin="0"'
        ' aria-valuemax="100" aria-valuenow="{}"><i style="width:{}%"></i></span>'
    ).format(state, label, f"{100.0 * of:.0f}", width)


def mark(kind: str, symbol: str, text: str | Markup) -> Markup:
    """A word with its symbol: kinds are bad (needs action), warn, good and quiet."""
    return Markup('<span class="mark {}"><span aria-hidden="true">{}</span> {}</span>').format(
        kind, symbol, text
    )


def facts(rows: Iterable[tuple[str, Markup]]) -> Markup:
    """Names and values, a line each."""
    line = Markup("<div><dt>{}</dt><dd>{}</dd></div>").format
    return Markup('<dl class="facts">{}</dl>').format(markup(line(*row) for row in rows))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Markup]], *, left: int = 1, label: str
) -> Markup:
    """A table: the first `left` columns are words, the others numbers."""
    kinds = ["" if at < left else "n" for at in range(len(heads))]
    head = markup(
        Markup('<th scope="col" class="{}">{}</th>').format(kind, name)
        for kind, name in zip(kinds, heads, strict=True)
    )
    body = markup(
        Markup("<tr>{}</tr>").format(
            markup(
                Markup('<td class="{}">{}</td>').format(kind, cell)
                for kind, cell in zip(kinds, row, strict=True)
            )
        )
        for row in rows
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr>'
        "</thead><tbody>{}</tbody></table></div>"
    ).format(label, head, body)


def empty(text: str) -> Markup:
    """A panel's word for having nothing to show."""
    return Markup('<p class="quiet">{}</p>').format(text)
