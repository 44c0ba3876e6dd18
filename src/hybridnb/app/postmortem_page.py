"""How a post-mortem looks: the same for a notebook, the day's page and a terminal.

It is made from plain values, as a run's record keeps them. Whatever they say is escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from hybridnb.app import figures
from hybridnb.app.postmortem import REPORT, PostMortem
from hybridnb.app.reply_words import valued
from hybridnb.app.views import Rows, of_kind
from hybridnb.canonical import plain
from hybridnb.domain import Leg
from hybridnb.escalation.causes import Source
from hybridnb.escalation.report import TOLD, RankedCause

Shown = Mapping[str, Any]
_IDS = re.compile(r"\[(F\d+(?:, F\d+)*)\]")
_CODE = re.compile(r"`([^`]+)`")
_WAYS = {
    Leg.STOP: "at its stop",
    Leg.TARGET: "at its target",
    Leg.EXIT: "by a decided exit",
    Leg.FLATTEN: "by flattening",
}
NOTHING = "No money moved in this session."
COLUMNS = ("id", "fact", "symbol", "value")
SHORT = 12  # facts that stand in one column
_OTHERS = "P&L by all other causes"
_BY = {"frontier": "the frontier", "local": "the local reasoner", "rules": "deterministic rules"}


def shown(made: PostMortem, rows: Rows) -> dict[str, Any]:
    """A post-mortem as plain values: what a page is made from, and what a run's record keeps.

    Parameters
    ----------
    rows : sequence of mapping
        The session's: what replies made of it.
    """
    held = of_kind(rows, "in_force")
    found: dict[str, Any] = _printable(
        {
            "session": made.report.session,
            "currency": made.table.currency,
            "writer": made.writer,
            "why": made.why,
            "removed": {"count": made.removed.count, "sentences": made.removed.sentences},
            "sections": [{"heading": h, "sentences": s} for h, s in made.sections.items()],
            "causes": _ranked(made),
            "facts": made.table.rows(),
            "events": made.events,
            "changes": held[0]["changes"] if held else [],
        }
    )
    return found


def _printable(value: Any) -> Any:
    """A plain value in which no text acts on a terminal, or breaks a drawing."""
    found = plain(value)
    if isinstance(found, str):
        return "".join(c if c.isprintable() else "\ufffd" for c in found)
    if isinstance(found, list):
        return [_printable(each) for each in found]
    if isinstance(found, dict):
        return {name: _printable(each) for name, each in found.items()}
    return found


def _ranked(made: PostMortem) -> list[tuple[str, int, str]]:
    """Name, amount and evidence of each cause that has a sentence, then of all others together."""
    ranked = made.report.causes
    first = len(ranked) if len(ranked) <= TOLD + 1 else TOLD
    bars = [(_named(c), c.cause.amount, ", ".join(c.evidence)) for c in ranked[:first]]
    if first < len(ranked):
        rest = sum(c.cause.amount for c in ranked[first:])
        evidence = next((f.id for f in made.report.table if f.name == _OTHERS), "")
        bars.append((f"all {len(ranked) - first} other causes", rest, evidence))
    return bars


def _named(ranked: RankedCause) -> str:
    cause = ranked.cause
    if cause.source in (Source.EXIT, Source.HELD):
        way = _WAYS[Leg(cause.leg)] if cause.leg else "still held"
        return f"{cause.symbol} {way} · {cause.quantity:,} unit{'s' * (cause.quantity != 1)}"
    return "outside the trading book" if cause.source is Source.OTHER else str(cause.source)


def picture(found: Shown) -> figures.Picture | None:
    """The causes by money, adding up to the day's profit or loss; None without any."""
    bars = [(name, amount, evidence) for name, amount, evidence in found["causes"]]
    if not bars:
        return None
    return figures.causes(bars, currency=found["currency"], title="Causes by money")


def writer_line(found: Shown) -> str:
    """Who wrote what is shown, and what was taken out of it or why nobody else did."""
    if found["writer"] == REPORT:
        return f"Written by the deterministic report. {found['why']}".strip()
    checked = found["why"] or "Every sentence is borne out by the facts."
    return f"Written by the {found['writer']}, held against the facts below. {checked}"


@dataclass(frozen=True, slots=True)
class Text:
    """Something to read: HTML for a notebook, lines for a terminal."""

    html: str
    lines: tuple[str, ...]

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Page:
    """A post-mortem as a notebook shows it, part by part; `values` are those of `shown`."""

    values: Shown

    def narrative(self) -> Text:
        """The sections, with who wrote them."""
        lines = [writer_line(self.values)]
        for part in self.values["sections"]:
            lines += ["", part["heading"], *(f"  {line}" for line in part["sentences"])]
        html = _quiet(lines[0]) + _sections(self.values, links=False)
        return Text(_boxed(html), tuple(lines))

    def causes(self) -> figures.Picture | Text:
        """The causes by money; they add up to the day's profit or loss."""
        return picture(self.values) or Text(_boxed(_quiet(NOTHING)), (NOTHING,))

    def evidence(self) -> Text:
        """The facts that sentences cite by id."""
        lines = (" | ".join(cell for cell in row if cell) for row in _cells(self.values["facts"]))
        return Text(_grid(COLUMNS, _cells(self.values["facts"])), tuple(lines))

    def escalations(self) -> Text:
        """What was escalated, who answered, what changes; a sentence on a day without."""
        lines = []
        for event in self.values["events"]:
            lines += [_title(event), *(f"  {line}" for line in event["sentences"])]
            for d in event["diffs"]:
                lines.append(f"  {d['key']}: {d['before']} to {d['after']} ({d['status']})")
        none = "Nothing was escalated in this session."
        html = _escalations(self.values, links=False) or _quiet(none)
        return Text(_boxed(html), tuple(lines) or (none,))


def section(found: Shown) -> str:
    """The post-mortem as a section of the day's page, citations linked to its facts."""
    drawn = picture(found)
    told = _sections(found, links=True)
    if drawn is not None:
        image = f"<figure><figcaption>Causes by money</figcaption>{drawn.svg}</figure>"
        told = f"<div class='pictures'>{image}<div>{told}</div></div>"
    return (
        f"<section class='postmortem'><h2>Post-mortem</h2>{_quiet(writer_line(found))}{told}"
        f"{_escalations(found, links=True)}{_in_force(found)}</section>"
    )


def facts_section(found: Shown) -> str:
    """The facts behind it, where its citations lead: two halves where there is room."""
    rows = _cells(found["facts"])
    half = -(-len(rows) // 2) if len(rows) > SHORT else len(rows)
    parts = [_grid(COLUMNS, part, anchors=True) for part in (rows[:half], rows[half:]) if part]
    return (
        f"<section><h2>Facts of the post-mortem</h2>"
        f"<div class='pictures facts'>{''.join(parts)}</div></section>"
    )


def _cells(facts: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    return [(f["id"], f["fact"], f["symbol"] or "–", f["value"]) for f in facts]


def _sections(found: Shown, *, links: bool) -> str:
    titles = {fact["id"]: _told(fact) for fact in found["facts"]}
    return "".join(
        f"<h3>{escape(part['heading'])}</h3>{_list(part['sentences'], titles, links=links)}"
        for part in found["sections"]
    )


def _told(fact: Mapping[str, str]) -> str:
    return " ".join(part for part in (fact["symbol"], fact["fact"], fact["value"]) if part)


def _list(lines: Iterable[str], titles: Mapping[str, str], *, links: bool) -> str:
    return (
        "<ul>"
        + "".join(f"<li>{_cited(line, titles, links=links)}</li>" for line in lines)
        + "</ul>"
    )


def _cited(line: str, titles: Mapping[str, str], *, links: bool) -> str:
    """A sentence, escaped, its ids with the fact behind each; in the day's page they lead to it."""

    def one(fact_id: str) -> str:
        title = escape(titles.get(fact_id, ""))
        if links and fact_id in titles:
            return f"<a href='#{fact_id}' title='{title}'>{fact_id}</a>"
        return f"<abbr title='{title}'>{fact_id}</abbr>"

    def group(match: re.Match[str]) -> str:
        return f"<small class='ids'>{' '.join(map(one, match[1].split(', ')))}</small>"

    return _CODE.sub(r"<code>\1</code>", _IDS.sub(group, escape(line)))


def _title(event: Shown) -> str:
    who = _BY.get(event["by"], event["by"] or "nobody yet")
    return f"Escalation: {event['trigger']}, asked the {event['call']}, answered by {who}"


def _escalations(found: Shown, *, links: bool) -> str:
    titles = {fact["id"]: _told(fact) for fact in found["facts"]}
    return "".join(_event(event, titles, links=links) for event in found["events"])


def _event(event: Shown, titles: Mapping[str, str], *, links: bool) -> str:
    parts = [f"<h3>{escape(_title(event))}</h3>", _list(event["sentences"], titles, links=links)]
    if event["diffs"]:
        columns = ("key", "before", "after", "status", "expires", "evidence")
        rows = [[d[c] for c in columns] for d in event["diffs"]]
        parts.append(_grid(("setting", *columns[1:]), rows))
    if event["advice"] or event["unfounded"]:
        parts.append("<h4>The local reasoner's analysis</h4>")
        parts.append(_list(event["advice"], titles, links=links))
        if event["unfounded"]:
            count = f"{event['unfounded']} sentence{'s' * (event['unfounded'] > 1)}"
            parts.append(_quiet(f"{count} of it had no ground in the facts: left out."))
    if event["attempts"]:
        parts.append(_attempts(event["attempts"]))
    parts += [f"<p class='banner'>Alert: {escape(text)}</p>" for text in event["alerts"]]
    return "".join(parts)


def _attempts(attempts: Sequence[Shown]) -> str:
    columns = ("by", "model", "outcome", "seconds", "detail")
    rows = [
        [f"{a[c]:.1f}" if isinstance(a[c], float) else valued(a[c]) for c in columns]
        for a in attempts
    ]
    return "<h4>Attempts</h4>" + _grid(columns, rows)


def _in_force(found: Shown) -> str:
    if not found["changes"]:
        return ""
    rows = [
        (c["key"], valued(c["before"]), valued(c["after"]), c["reason"]) for c in found["changes"]
    ]
    head = ("setting", "operator's", "in this session", "from")
    return "<h3>Replies in force in this session</h3>" + _grid(head, rows)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], *, anchors: bool = False) -> str:
    """Cells of text as a table; with `anchors` the first cell of a row is its place to link to."""
    body = "".join(
        (f"<tr id='{escape(row[0])}'>" if anchors else "<tr>")
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    heads = "".join(f"<th scope='col'>{escape(name)}</th>" for name in head)
    return (
        f"<div class='scroll' tabindex='0'><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _boxed(html: str) -> str:
    return f"<div class='postmortem'>{html}</div>"


def _quiet(text: str) -> str:
    return f"<p class='quiet'>{escape(text)}</p>"
