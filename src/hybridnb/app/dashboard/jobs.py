"""What ran and what is due, and the newest reports."""

from __future__ import annotations

from urllib.parse import quote

from markupsafe import Markup

from hybridnb.app.dashboard.model import Block, View, rows
from hybridnb.app.dashboard.words import (
    NOTHING,
    empty,
    known,
    length,
    mark,
    markup,
    moment,
    table,
    words,
)

RAN = 8  # newest ones that are shown
DUE = 10


def jobs(view: View) -> Markup:
    """The newest runs with their reports, then what is due."""
    found = view.block("jobs")
    ran, due = rows(found, "ran")[:RAN], rows(found, "due")[:DUE]
    if not ran and not due:
        return empty("No scheduled job ran yet, and none is due.")
    drawn = []
    if ran:
        body = [_ran(row, view) for row in ran]
        drawn.append(table(("Ran", "", "At, UTC"), body, left=2, label="Jobs that ran"))
    if due:
        body = [(_coming(row), moment(row.get("at"), view.now)) for row in due]
        drawn.append(table(("Due", "At, UTC"), body, label="Jobs that are due"))
    return markup(drawn)


def _ran(row: Block, view: View) -> tuple[Markup, ...]:
    took = known(row.get("seconds"))
    lasted = Markup(' <span class="quiet">in {}</span>').format(length(took)) if took else NOTHING
    return (
        _of(_linked(row, view), row),
        Markup("{}{}").format(_state(row), lasted),
        moment(row.get("at"), view.now),
    )


def _coming(row: Block) -> Markup:
    """A job that is due: that it runs, or what it waits for."""
    state = row.get("why") or ("running" if row.get("status") == "running" else "")
    return Markup('{} <span class="quiet">{}</span>').format(words(row.get("job")), str(state))


def _of(job: Markup, row: Block) -> Markup:
    """A job with its session."""
    return Markup('{} <span class="quiet">{}</span>').format(job, words(row.get("session")))


def _linked(row: Block, view: View) -> Markup:
    """The job's name, a link where its report is: only ever to a page of this server."""
    name, report = words(row.get("job")), str(row.get("report") or "")
    if (
        not view.links
        or not report
        or ":" in report
        or report.startswith(("/", "\\"))
        or ".." in report
    ):
        return name
    path = quote(f"/reports/{report}")
    return Markup('<a href="{}" target="_blank" rel="noopener">{}</a>').format(path, name)


def _state(row: Block) -> Markup:
    state = str(row.get("status") or "unknown")
    tries = f", {row['attempts']} tries" if (known(row.get("attempts")) or 0) > 1 else ""
    if state == "done":
        return mark("good", "\N{CHECK MARK}", state + tries)
    if state == "failed":
        shown = mark("bad", "\N{BLACK SQUARE}", state + tries)
        return Markup('<span title="{}">{}</span>').format(str(row.get("error") or ""), shown)
    return Markup("{}{}").format(state, tries)


def alerts_head(view: View) -> Markup:
    """How many alerts wait; the alerts themselves have a row and a button each."""
    waiting = view.block("alerts").get("unacknowledged")
    shown = len(rows(view.block("alerts"), "newest"))
    if waiting is None:
        return empty("Alerts are unknown.")
    if not waiting:
        return empty("No alert waits.")
    more = f", the newest {shown} shown" if isinstance(waiting, int) and waiting > shown else ""
    said = Markup('{}<span class="quiet">{}</span>')
    return Markup("<p>{}</p>").format(
        said.format(mark("bad", "\N{BLACK SQUARE}", f"{waiting} to acknowledge"), more)
    )


def alert_line(alert: Block, view: View) -> Markup:
    """One alert: when, which book and session, what."""
    at, session = str(alert.get("at") or ""), str(alert.get("session") or "")
    where = [str(alert.get("book") or ""), "" if session and at.startswith(session) else session]
    return Markup('<p class="alert">{} <span class="quiet">{}</span><br>{}</p>').format(
        moment(alert.get("at"), view.now), " ".join(filter(None, where)), words(alert.get("text"))
    )


def proposal_line(row: Block) -> Markup:
    """What a reply would loosen, with its reason."""
    change = Markup("<b>{}</b> {} \N{RIGHTWARDS ARROW} {}").format(
        str(row.get("key", "")), str(row.get("before")), str(row.get("after"))
    )
    return Markup('<p class="alert">Proposal: {}<br><span class="quiet">{}</span></p>').format(
        change, str(row.get("reason") or "")
    )


def in_force_line(row: Block) -> Markup:
    """What a reply changes now, until when, and who gave it."""
    change = Markup("<b>{}</b> {} \N{RIGHTWARDS ARROW} {}").format(
        str(row.get("key", "")), str(row.get("before")), str(row.get("after"))
    )
    left = Markup("{} sessions left, by {}").format(
        str(row.get("sessions_left", "")), str(row.get("by", ""))
    )
    return Markup(
        '<p class="alert">In force: {} <span class="quiet">{}</span><br>'
        '<span class="quiet">{}</span></p>'
    ).format(change, left, str(row.get("reason") or ""))
