"""What the replay of a crisis is shown as: a page with pictures, and a text for terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from hybridnb.app.canvas import ACCENT, CALM, DOWN, INK, UP, Picture, drawing, picture
from hybridnb.app.html import page
from hybridnb.app.index import table
from hybridnb.metrics import drawdowns

# Each trigger has a sign of its own, so that colour isn't the only one.
MARKS = {
    "kill_switch": ("X", DOWN, "kill switch"),
    "risk": ("v", "#b7791f", "risk"),
    "regime": ("D", "#8a63d2", "regime"),
    "event_heat": ("^", ACCENT, "event heat"),
    "model_decay": ("s", UP, "model decay"),
}
_FACTS = {
    "volatility_zscore": ("volatility z", "{:+.1f}"),
    "correlation_breakdown": ("correlation", "{:.2f}"),
    "day_pnl": ("day P&L", "{:+.2%}"),
    "max_drawdown_5d": ("5-day drawdown", "{:.2%}"),
    "gross_drawdown_5d": ("of gross", "{:.2%}"),
    "ensemble_accuracy": ("accuracy", "{:.2f}"),
    "accuracy_baseline": ("its baseline", "{:.2f}"),
}
_NAMES = {
    "operator": "the operator's policy",
    "amplified": "an amplified policy",
}


def crisis_page(done: Mapping[str, Any]) -> str:
    """The whole page of a replay of one or more stretches."""
    spans = " and ".join(f"{s['first']} to {s['last']}" for s in done["stretches"])
    parts = [_foreword(done)]
    parts += [_stretch(each) for each in done["stretches"]]
    return page(f"Triggers on {done['feed']}: {spans}", "".join(parts))


def _foreword(done: Mapping[str, Any]) -> str:
    lines = [
        "Every session is stepped as it is traded, from a new account at the stretch's beginning,"
        " on predictions made out of fold and facts known the session before. The drawdowns shown"
        " with an event are those at its session's close.",
        "“Without replies” nobody answers an event. “With replies” a script does, not a model: the"
        " regime auditor sees a crisis, cuts the buckets (core −30, F&O −2, penny −1 percentage"
        " points of equity) and bars the position that has lost most; the sanity judge keeps demo"
        " and no position above 0.5 % of equity; the reward engineer changes the next training"
        " only, so that it changes nothing here.",
        "A reply passes the sandbox first, holds from the next session, and for five sessions.",
        "The amplified policy is the operator's without the caps and brakes named below: nobody"
        " trades it. It shows how kill switch and replies work where the operator's own limits"
        " keep losses too small for them.",
    ]
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _stretch(stretch: Mapping[str, Any]) -> str:
    parts = [
        f"<section><h2>{stretch['first']} to {stretch['last']}</h2>",
        f"<p>{escape(_provenance(stretch))}</p>",
        f"<figure><figcaption>What the triggers watch</figcaption>{_watched(stretch).svg}</figure>",
        table(_figures(stretch), empty="No session."),
    ]
    for policy in stretch["policies"]:
        title = f"Under {_NAMES[policy['name']]}"
        parts += [
            f"<h3>{escape(title)}</h3>",
            f"<p>{escape(_changed(policy))}</p>" if policy["changed"] else "",
            f"<figure><figcaption>Drawdown</figcaption>{_drawdown(stretch, policy).svg}</figure>",
            table(_fired(policy), empty="No trigger fired."),
            _answers(policy),
        ]
    return "".join(parts) + "</section>"


def _provenance(stretch: Mapping[str, Any]) -> str:
    taught = stretch["hint_trained_to"]
    seen = (
        f"the size hint was trained on sessions to {taught}: it has seen part of this stretch"
        if taught >= stretch["first"]
        else f"the size hint was trained on sessions to {taught}, before this stretch"
    )
    return (
        f"{stretch['sessions']:,} sessions with the model {stretch['model_version']},"
        f" trained as of {stretch['trained_to']}; {seen}."
        + "".join(f" Note: {note}." for note in stretch["notes"])
    )


def _changed(policy: Mapping[str, Any]) -> str:
    changes = (f"{c['key']} {c['before']:g} → {c['after']:g}" for c in policy["changed"])
    return f"Changed from the operator's: {', '.join(changes)}."


def _watched(stretch: Mapping[str, Any]) -> Picture:
    """Volatility and correlation with their bars; a mark for each event of the operator's book."""
    policy, bars = stretch["policies"][0], stretch["triggers"]
    curves = policy["curves"]
    days = pd.DatetimeIndex(curves["session"])
    z = np.array(curves["volatility_zscore"], np.float64)
    rho = np.array(curves["correlation"], np.float64)
    with drawing(10.0, 4.6, rows=2) as (figure, (top, low)):
        top.plot(days, z, color=ACCENT, linewidth=1.3)
        for level in (bars["volatility_z"], -bars["volatility_z"]):
            top.axhline(level, color=INK, linewidth=1, linestyle="--")
        top.set_ylabel("volatility z")
        low.plot(days, rho, color=CALM, linewidth=1.3)
        low.axhline(bars["spike"], color=INK, linewidth=1, linestyle="--")
        low.set_ylabel("correlation")
        _mark(top, days, z, policy["fired"])
        count = len(policy["fired"])
        alt = (
            f"Volatility z and average correlation, {stretch['first']} to {stretch['last']}:"
            f" z from {np.nanmin(z):.1f} to {np.nanmax(z):.1f}; {count} events marked"
        )
        return picture(figure, alt, pd.DataFrame({"z": z, "correlation": rho}, index=days))


def _mark(axes: Any, days: pd.DatetimeIndex, line: Any, fired: Sequence[Mapping[str, Any]]) -> None:
    for trigger, (sign, colour, name) in MARKS.items():
        at = [pd.Timestamp(e["session"]) for e in fired if trigger in (e["trigger"], *e["joined"])]
        if at:
            y = np.nan_to_num(line[days.get_indexer_for(pd.DatetimeIndex(at))])
            label = f"{name} ({len(at)})"
            axes.scatter(at, y, marker=sign, s=52, color=colour, label=label, zorder=3)
    if fired:
        _legend(axes)


def _legend(axes: Any) -> None:
    """Above the picture, where no line runs."""
    above = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    axes.legend(frameon=False, labelcolor=INK, ncols=5, **above)


def _drawdown(stretch: Mapping[str, Any], policy: Mapping[str, Any]) -> Picture:
    curves, cash = policy["curves"], stretch["opening_cash"]
    days = pd.DatetimeIndex(curves["session"])
    falls = {n: -100 * drawdowns([cash, *curves[n]])[1:] for n in ("without", "with")}
    with drawing(10.0, 2.9) as (figure, (axes,)):
        axes.plot(days, falls["without"], color=DOWN, linewidth=1.4, label="without replies")
        axes.plot(
            days, falls["with"], color=ACCENT, linewidth=1.4, linestyle="--", label="with replies"
        )
        axes.set_ylabel("drawdown %")
        kills = [e for e in policy["fired"] if e["trigger"] == "kill_switch"]
        _mark(axes, days, falls["without"], kills)
        _legend(axes)
        worst = {name: float(values.min()) for name, values in falls.items()}
        alt = (
            f"Drawdown under {_NAMES[policy['name']]}: worst {worst['without']:.2f} % without"
            f" replies, {worst['with']:.2f} % with them"
        )
        return picture(figure, alt, pd.DataFrame(falls, index=days))


def _figures(stretch: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for policy in stretch["policies"]:
        for replies in ("without", "with"):
            found = policy[replies]
            rows.append(
                {
                    "policy": policy["name"],
                    "replies": replies,
                    "events": len(policy["fired" if replies == "without" else "answered"]),
                    "kill switches": len(found["kills"]),
                    "orders": found["orders"],
                    "equity": f"{found['equity']:,.0f}",
                    "worst day": _share(found["worst_day"]),
                    "drawdown": _share(found["max_drawdown"]),
                    "5-day drawdown": _share(found["drawdown_5d"]),
                    "largest gross": _share(found["used"]["gross"] * policy["max_leverage"]),
                }
            )
    return pd.DataFrame(rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _fired(policy: Mapping[str, Any]) -> pd.DataFrame:
    """One row an event, with the facts that were known when it fired."""
    return pd.DataFrame(
        [
            {
                "session": e["session"],
                "mark": e["at"],
                "trigger": ", ".join(_words(t) for t in (e["trigger"], *e["joined"])),
                "asks": _words(e["call"]),
                "because of": ", ".join(_words(c) for c in e["conditions"]),
                **{title: _shown(e["facts"][k], form) for k, (title, form) in _FACTS.items()},
            }
            for e in policy["fired"]
        ]
    )


def _answers(policy: Mapping[str, Any]) -> str:
    frame = pd.DataFrame(
        [
            {
                "session": e["session"],
                "trigger": ", ".join(_words(t) for t in (e["trigger"], *e["joined"])),
                "reply of": _words(e["call"]),
                "changes from the next session": _changes(e["changes"]),
                "sandbox": _verdict(e),
            }
            for e in policy["answered"]
        ]
    )
    if frame.empty:
        return ""
    return f"<details><summary>The scripted replies</summary>{table(frame, empty='')}</details>"


def _changes(changes: Sequence[Mapping[str, Any]]) -> str:
    shown = (f"{c['key']} {_value(c['before'])} → {_value(c['after'])}" for c in changes)
    return "; ".join(shown) or "nothing"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(value) or "none" if isinstance(value, (list, tuple)) else str(value).lower()


def _verdict(event: Mapping[str, Any]) -> str:
    if event["breaches"]:
        return f"refused: {event['breaches'][0]}"
    return f"passed, {event['audited']} sessions" if event["audited"] else "changes no decision"


def _shown(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def crisis_text(done: Mapping[str, Any]) -> str:
    """The figures and events for a terminal."""
    parts = []
    for stretch in done["stretches"]:
        parts.append(f"{stretch['first']} to {stretch['last']}: {_provenance(stretch)}")
        parts.append(_figures(stretch).to_string(index=False))
        for policy in stretch["policies"]:
            fired = _fired(policy)
            parts.append(f"under {_NAMES[policy['name']]}: {len(fired)} events")
            if policy["changed"]:
                parts.append(_changed(policy))
            if len(fired):
                parts.append(fired.to_string(index=False))
    return "\n\n".join([*parts, f"open {done['report']}"])
