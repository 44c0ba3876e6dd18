"""The top bar: what must be seen at a glance, from across the room."""

from __future__ import annotations

from markupsafe import Markup

from hybridnb.app.dashboard.model import View, newest_fact
from hybridnb.app.dashboard.words import (
    NOTHING,
    UNKNOWN,
    ago,
    known,
    mark,
    markup,
    moment,
    money,
    number,
    share,
    words,
)

_CELL = Markup('<div class="cell {}"><dt>{}</dt><dd>{}</dd><dd class="under">{}</dd></div>')
_BADGES = {"normal": "\N{BULLET}", "high": "\N{BLACK UP-POINTING TRIANGLE}"}


def top_bar(view: View) -> Markup:
    """Mode, money, day, drawdown, volatility, kill switch and the age of it all."""
    book = view.book
    if not book:
        return Markup(
            '<dl class="cells"><div class="cell first"><dt>Mode</dt><dd>{}</dd><dd class="under">'
            "no session was traded yet</dd></div></dl>"
        ).format(words(view.status.get("asked_mode")))
    cells = [
        _CELL.format("first", "Mode", *_mode(view)),
        _CELL.format("money", "Net liquidity", *_net_liquidity(view)),
        _CELL.format("money", "Day P&L", *_day(view)),
        _CELL.format("money", "Drawdown", share(book.get("drawdown")), "below the peak"),
        _CELL.format("", "Volatility", *_regime(view)),
        _CELL.format("", "Kill switch", *_kill(view)),
        _CELL.format("", "Alerts", *_alerts(view)),
        _CELL.format("", "Data", *_data(view)),
    ]
    old = " old" if view.stale else ""
    return Markup('<dl class="cells{}">{}</dl>').format(old, markup(cells))


def _mode(view: View) -> tuple[Markup, Markup]:
    name = str(view.book.get("mode") or "")
    mode = Markup('<span class="pill {}">{}</span>').format(
        "" if name in ("", "DEMO") else "live", words(name)
    )
    state = str(view.book.get("trading_state") or "")
    coming = next(
        (a for a in reversed(view.pending()) if a.get("action") in ("demo", "mode")), None
    )
    if coming is not None:
        wanted = coming.get("mode") or "DEMO"
        return mode, Markup("{} at the next opening").format(words(wanted))
    if state and state != "ACTIVE":
        return mode, mark("warn", "\N{BLACK UP-POINTING TRIANGLE}", state)
    return mode, words(state)


def _net_liquidity(view: View) -> tuple[Markup, Markup]:
    book = view.book
    value = book.get("net_liquidity", book.get("equity"))
    cash = known(book.get("cash"))
    under = Markup("cash {}").format(share(cash, 1)) if cash is not None else NOTHING
    return money(value, book.get("currency")), under


def _day(view: View) -> tuple[Markup, Markup]:
    book = view.book
    gained = book.get("day_pnl_money")
    under = number(gained, 0, signed=True) if gained is not None else NOTHING
    return share(book.get("day_pnl"), signed=True), under


def _regime(view: View) -> tuple[Markup, Markup]:
    """The badge of spec 08: |z| to 1 is normal, to 2 high, else extreme."""
    regime = view.book.get("regime") or {}
    badge, z = str(regime.get("badge") or "unknown"), known(regime.get("volatility_z"))
    name = words(regime.get("name")) if regime.get("name") else NOTHING
    under = Markup("z {} {}").format(number(z, 2, signed=True), name) if z is not None else name
    if badge == "extreme":
        return mark("bad", "\N{BLACK SQUARE}", "extreme"), under
    if badge in _BADGES:
        return mark("warn" if badge == "high" else "good", _BADGES[badge], badge), under
    return UNKNOWN, under


def _kill(view: View) -> tuple[Markup, Markup]:
    book = view.book
    if book.get("kill_switch") == "latched":
        since = Markup("since {}").format(moment(book.get("killed_since"), view.now))
        return mark("bad", "\N{BLACK SQUARE}", "LATCHED"), since
    left = book.get("quarantine_left") or 0
    if book.get("quarantine_until") and left:
        return mark("warn", "\N{BLACK UP-POINTING TRIANGLE}", "ready"), Markup(
            "quarantine, {} sessions left"
        ).format(left)
    return words(book.get("kill_switch")), Markup("no quarantine")


def _alerts(view: View) -> tuple[Markup, Markup]:
    waiting = view.block("alerts").get("unacknowledged")
    if not waiting:
        return (UNKNOWN if waiting is None else Markup("none")), NOTHING
    return mark("bad", "\N{BLACK SQUARE}", str(waiting)), Markup(
        '<a href="#hb-alerts">to acknowledge</a>'
    )


def _data(view: View) -> tuple[Markup, Markup]:
    """How old the newest fact is, and whether a session is open."""
    book = view.book
    newest = newest_fact(book)
    age = ago(newest.isoformat(), view.now) if newest else UNKNOWN
    if view.stale:
        age = Markup("{} {}").format(mark("warn", "\N{BLACK UP-POINTING TRIANGLE}", "old:"), age)
    session = words(book.get("session"))
    where = "live session" if book.get("live") else "after"
    return age, Markup("{} {}").format(where, session)
