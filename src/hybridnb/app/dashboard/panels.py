"""Every panel of the dashboard: its place, its title, and what draws it.

A part of the product that comes later adds its panel here and nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from hybridnb.app.dashboard import charts, jobs, learning, risk
from hybridnb.app.dashboard.model import View
from hybridnb.app.dashboard.words import NOTHING, words


@dataclass(frozen=True, slots=True)
class Panel:
    """One box of the page.

    Attributes
    ----------
    column : str
        Where it stands: `risk`, `market` or `desk`, on a phone one after the other.
    name : str
        Its CSS class is `hb-NAME`.
    draw : callable
        Of a view; what it returns empty leaves the box out.
    """

    column: str
    name: str
    title: str
    draw: Callable[[View], Markup]


PANELS: tuple[Panel, ...] = (
    Panel("risk", "limits", "Risk", risk.limits),
    Panel("risk", "buckets", "Buckets", risk.buckets),
    Panel("market", "curve", "Equity and drawdown", charts.curve),
    Panel("market", "positions", "Positions", risk.positions),
    Panel("market", "scores", "Scores", charts.scores),
    Panel("market", "model", "Learning", learning.model),
    Panel("market", "reliability", "Reliability", charts.reliability),
    Panel("desk", "alerts", "Alerts", jobs.alerts_head),
    Panel("desk", "jobs", "Jobs", jobs.jobs),
    Panel("desk", "escalation", "Reasoners", learning.escalation),
)
_BOX = Markup('<section id="hb-{}" class="{}" aria-label="{}"><h2>{}{}</h2>{}</section>')
_OF_NOW = "desk"  # this column doesn't age with the book's data


def drawn(panel: Panel, view: View) -> str:
    """A panel's markup; empty where it has nothing to show."""
    body = panel.draw(view)
    old = view.stale and panel.column != _OF_NOW
    as_of = Markup(' <span class="quiet">as of {}</span>').format(words(view.book.get("session")))
    box = (panel.name, "old" if old else "", panel.title, panel.title, as_of if old else NOTHING)
    return str(_BOX.format(*box, body)) if body else ""
