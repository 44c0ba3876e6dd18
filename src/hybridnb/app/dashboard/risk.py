"""The risk panels: distance to each limit, buckets with the SIP sleeve, and every position."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from hybridnb.app.dashboard.model import Block, View, rows
from hybridnb.app.dashboard.words import (
    NOTHING,
    UNKNOWN,
    empty,
    facts,
    gauge,
    known,
    mark,
    markup,
    moment,
    number,
    share,
    table,
    words,
)

WARN = 0.8  # of a limit; the read-model's own word comes first
_STOPS = ("day_loss", "drawdown")  # limits at which a book stops; the others bound its size
_DASH = Markup('<span class="quiet" aria-hidden="true">·</span>')


def limits(view: View) -> Markup:
    """Each limit: what is used, what is allowed, how near; then switch, quarantine and locks."""
    found = rows(view.book, "limits") or _of_usage(view.book)
    body = [
        (
            words(row.get("label") or row.get("name")),
            gauge(_of(row), state=_state(row), label=str(row.get("label") or row.get("name"))),
            share(row.get("used")),
            share(row.get("limit")),
            _standing(row),
        )
        for row in found
    ]
    heads = ("Limit", "", "Used", "Allowed", "Of it")
    drawn = table(heads, body, left=2, label="Distance to each limit") if body else NOTHING
    if not view.book:
        return empty("No book is open yet: limits appear with its first session.")
    return markup((drawn, facts(_switches(view))))


def _of_usage(book: Block) -> list[Block]:
    """The limits of the buckets alone."""
    usage = book.get("usage") or {}
    return [{"name": name, "label": name} | dict(row) for name, row in usage.items()]


def _of(row: Block) -> float | None:
    given, used, limit = known(row.get("share")), known(row.get("used")), known(row.get("limit"))
    if given is not None:
        return given
    return used / limit if used is not None and limit else None


def _state(row: Block) -> str:
    """Near a limit is a warning; at one of those that stop the book it needs action."""
    of = _of(row)
    if of is None:
        return ""
    if of >= 1.0 and row.get("name") in _STOPS:
        return "bad"
    return "warn" if of >= 1.0 or row.get("warn", of >= WARN) else ""


def _standing(row: Block) -> Markup:
    """The share of a limit, near it with a symbol too: colour is never the only sign."""
    of, state = _of(row), _state(row)
    if of is None or not state:
        return share(of, 0)
    symbol = "\N{BLACK SQUARE}" if state == "bad" else "\N{BLACK UP-POINTING TRIANGLE}"
    said = Markup('{}<span class="sr"> {}</span>').format(
        share(of, 0), "at limit" if of >= 1.0 else "near"
    )
    return mark(state, symbol, said)


def _switches(view: View) -> Iterable[tuple[str, Markup]]:
    book = view.book
    if book.get("kill_switch") == "latched":
        since = moment(book.get("killed_since"), view.now)
        latched = mark("bad", "\N{BLACK SQUARE}", "latched")
        yield "Kill switch", Markup("{} since {}").format(latched, since)
    else:
        yield "Kill switch", words(book.get("kill_switch"))
    left = book.get("quarantine_left") or 0
    until = Markup("{} more sessions: DEMO until they are over").format(left)
    yield (
        "Quarantine",
        mark("warn", "\N{BLACK UP-POINTING TRIANGLE}", str(until)) if left else Markup("none"),
    )
    if book.get("brake") is not None:
        on = mark("warn", "\N{BLACK UP-POINTING TRIANGLE}", "on: no entries")
        yield "Brake", on if book["brake"] else Markup("off")
    locks = book.get("locks") or []
    line = Markup("<li>{}</li>").format
    listed = Markup('<ul class="plain">{}</ul>').format(markup(line(lock) for lock in locks))
    yield "Locks", listed if locks else Markup("none")
    asked = view.pending()
    if asked:
        yield "Asked for", Markup('<ul class="plain">{}</ul>').format(markup(map(_asked, asked)))


def _asked(action: Block) -> Markup:
    what = " ".join(str(action[k]) for k in ("action", "lock", "symbol") if action.get(k))
    return Markup('<li>{} <span class="quiet">not applied yet: {}</span></li>').format(
        what, words(action.get("reason"))
    )


def buckets(view: View) -> Markup:
    """Usage of each bucket; the SIP sleeve beside them; gross, net and open risk."""
    book = view.book
    usage = book.get("usage") or {}
    if not usage:
        return empty("No bucket is in use.")
    drawn = markup(_bucket(str(name), row) for name, row in usage.items())
    return Markup('<div class="bars">{}</div>{}').format(drawn, facts(_sums(book)))


def _bucket(name: str, row: Block) -> Markup:
    of = _of(row)
    return Markup(
        '<div class="bar"><b>{}</b>{}<span class="n">{} <span class="quiet">of</span> {}</span>'
        "</div>"
    ).format(
        name,
        gauge(of, state=_state(row), label=f"{name} bucket"),
        share(row.get("used")),
        share(row.get("limit"), 1),
    )


def _sums(book: Block) -> Iterable[tuple[str, Markup]]:
    sip = book.get("sip") or {}
    if sip:
        yield "SIP sleeve", markup(_sleeve(sip))
    yield "Gross · net", Markup("{} · {}").format(share(book.get("gross")), share(book.get("net")))
    risk = book.get("open_risk") or {}
    yield (
        "Open risk",
        Markup('{} <span class="quiet">of</span> {}').format(
            share(risk.get("used")), share(risk.get("limit"))
        )
        if risk
        else UNKNOWN,
    )


def _sleeve(sip: Block) -> Iterable[Markup]:
    """What is held, has accrued and is carried over: whichever of them is known."""
    part = Markup('<span class="part"><span class="quiet">{}</span> {}</span> ').format
    shown = (("held", "held_value", 0), ("units", "units", 0), ("accrued", "accrued", 0))
    for label, name, places in (*shown, ("carried", "carried", 2)):
        if name in sip:
            yield part(label, number(sip[name], places))


def positions(view: View) -> Markup:
    """Every name held: size, price, cap, and the way to its stop and target."""
    held = rows(view.book, "names")
    if not held:
        count = view.book.get("positions")
        return empty(f"{count} positions; no more is known of them." if count else "Flat.")
    heads = ("Name", "Quantity", "Price", "Value", "Of cap", "", "Entry", "Stop", "Target", "Risk")
    return table(heads, map(_position, held), label="Positions")


def _position(row: Block) -> tuple[Markup, ...]:
    of = known(row.get("of_cap"))
    state = "warn" if of is not None and of >= WARN else ""
    return (
        Markup('<b>{}</b> <span class="quiet">{}</span>').format(
            str(row.get("symbol", "")), words(row.get("bucket"))
        ),
        number(row.get("quantity"), 0),
        number(row.get("price")),
        number(row.get("value"), 0),
        mark(state, "\N{BLACK UP-POINTING TRIANGLE}", share(of, 0)) if state else share(of, 0),
        gauge(of, state=state, label=f"{row.get('symbol')}: used of its cap"),
        *(_level(row.get(name)) for name in ("entry", "stop", "target")),
        share(row.get("risk"), 2),
    )


def _level(value: Any) -> Markup:
    """A price level; a position needn't have a target."""
    return _DASH if value is None else number(value)
