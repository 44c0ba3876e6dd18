"""The day's first page: what happened and why, in pictures, then every table behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from hybridnb.app import figures, postmortem_page, views
from hybridnb.app.html import page
from hybridnb.app.runner import write_atomically
from hybridnb.app.trading import Traded
from hybridnb.policy import Costs, Policy

_SHARES = ("size_pre", "capped", "size_post_risk")
_SCORES = ("score", "p_short", "p_mid", "rl", "base", "confidence", *views.PENALTIES)
_MONEY = ("price", "stop", "limit", "commission", "slippage", "value", "entry", "target")
_FORMATS: dict[str, str] = (
    dict.fromkeys(_SHARES, "{:.3%}")
    | dict.fromkeys(_SCORES, "{:.3f}")
    | dict.fromkeys(views.MULTIPLIERS, "{:.3f}")
    | dict.fromkeys(_MONEY, "{:,.2f}")
    | {"n": "{:,.0f}", "slippage_bps": "{:.2f}", "quantity": "{:,.0f}", "filled": "{:,.0f}"}
    | {"unrealised": "{:+,.2f}", "pnl": "{:+,.2f}", "equity": "{:,.2f}"}
    | dict.fromkeys(("day P&L %", "drawdown %"), "{:.3f}")
    | dict.fromkeys(("at half", "at twice"), "{:+,.2f}")
    | dict.fromkeys(("at half, bps", "at twice, bps"), "{:+.3f}")
)


def table(frame: pd.DataFrame, *, empty: str) -> str:
    """A frame as an HTML table that scrolls sideways on a small screen; a sentence when empty."""
    if frame.empty:
        return f"<p class='quiet'>{escape(empty)}</p>"
    number = {name: frame[name].dtype.kind in "fi" for name in frame.columns}
    head = "".join(
        f"<th{' class=number' if number[n] else ''}>{escape(str(n).replace('_', ' '))}</th>"
        for n in frame.columns
    )
    rows = "".join(
        "<tr>" + "".join(_cell(name, row[name], number[name]) for name in frame.columns) + "</tr>"
        for row in frame.to_dict("records")
    )
    return (
        f"<div class='scroll' tabindex='0'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(name: str, value: Any, number: bool) -> str:
    if not number:
        return f"<td>{escape('–' if value is None else str(value))}</td>"
    form = _FORMATS.get(name, "{:.4g}")
    return f"<td class=number>{form.format(value) if pd.notna(value) else '–'}</td>"


def write_index(
    folder: Path,
    *,
    traded: Traded,
    exports: Mapping[str, Mapping[str, Any]],
    pages: Sequence[tuple[str, str]],
    policy: Policy,
    source: str,
) -> Path:
    """Write `index.html` of a day from its ledger rows and what its notebooks exported."""
    verdict = exports["gate_review"]["verdict"]
    parts = [
        _headline(traded, verdict, source),
        postmortem_page.section(exports["post_mortem"]["post_mortem"]),
        _pictures(traded, exports, policy),
        postmortem_page.facts_section(exports["post_mortem"]["post_mortem"]),
        _section(
            "What the day would have looked like live",
            table(pd.DataFrame(exports["post_mortem"]["as_live"]), empty="No mode was tried."),
        ),
        *_tables(traded),
        _section(
            f"Gates: {escape(verdict['status'])}",
            table(views.gates(verdict), empty="No gate was reviewed.") + _why(verdict),
        ),
        _section(
            "Stress: the last held-out year in eight scenarios",
            table(pd.DataFrame(exports["gate_review"]["stress"]), empty="Nothing was stepped."),
        ),
        _section(
            "Calibration by regime",
            table(pd.DataFrame(exports["gate_review"]["regimes"]), empty="No outcome is known."),
        ),
        _section(
            "How orders are filled on paper",
            _sentences(assumptions(policy)) + _sensitivity(exports["live_session"]),
        ),
        _stamps(traded, verdict),
    ]
    path = folder / "index.html"
    text = page(f"Trading day {traded.session}", "\n".join(parts), nav=pages)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
    return path


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _sentences(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _headline(traded: Traded, verdict: Mapping[str, Any], source: str) -> str:
    done = traded.summary()
    closing = traded.closing
    missed = [g["name"] for g in verdict["gates"] if g["status"] != "PASS"]
    banner = (
        f"<p class='banner'>This model may not trade live: {escape(', '.join(missed))} not passed."
        f" The mode is {escape(done['mode'])}; DEMO trades on paper to gather evidence.</p>"
        if missed
        else ""
    )
    cards = [
        ("equity", f"{done['equity']:,.2f}"),
        ("day P&L", f"{closing['day_pnl']:+.3%}"),
        ("drawdown", f"{closing['drawdown']:.3%}"),
        ("decisions", str(done["decisions"])),
        ("orders", str(done["orders"])),
        ("fills", str(done["fills"])),
        ("mode", str(done["mode"])),
        ("verdict", str(verdict["status"]).replace("_", " ")),
    ]
    shown = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in cards)
    return (
        f"{banner}<p class='quiet'>Book {escape(traded.book)}, bars from {escape(source)}</p>"
        f"<dl class='cards'>{shown}</dl>"
    )


def _pictures(traded: Traded, exports: Mapping[str, Mapping[str, Any]], policy: Policy) -> str:
    review, decided = exports["gate_review"], views.decisions(traded.rows)
    curve = pd.Series(
        review["equity"]["value"], index=pd.to_datetime(review["equity"]["session"]), dtype=float
    )
    drawn = [
        (
            "Scores",
            figures.scores(decided, buy=policy.blend.buy, sell=policy.blend.sell)
            if decided["score"].notna().any()
            else None,
        ),
        ("Bucket usage", figures.usage(**exports["live_session"]["usage"])),
        ("Backtest on unseen sessions", figures.equity_curve(curve, title="Backtest")),
        ("Calibration", figures.reliability(pd.DataFrame(review["reliability"]))),
    ]
    shown = "".join(
        f"<figure><figcaption>{title}</figcaption>{picture.svg}</figure>"
        for title, picture in drawn
        if picture is not None
    )
    return f"<div class='pictures'>{shown}</div>"


def _tables(traded: Traded) -> list[str]:
    rows, closing = traded.rows, traded.closing
    held = views.positions(closing["snapshot"], closing["prices"])
    return [
        _section("Decisions", table(views.decisions(rows), empty="Nothing was decided.")),
        _section("Entries refused", table(views.refusals(rows), empty="None was refused.")),
        _section("Orders", table(views.orders(rows), empty="No order: a valid result.")),
        _section("Fills", table(views.fills(rows), empty="Nothing was filled.")),
        _section("Closed trades", table(views.trades(rows), empty="No position was closed.")),
        _section("Positions", table(held, empty="Nothing is held.")),
    ]


def _why(verdict: Mapping[str, Any]) -> str:
    return _sentences([f"{g['name']}: {g['status']}. {g['reason']}" for g in verdict["gates"]])


def assumptions(policy: Policy) -> list[str]:
    """What the paper venue assumes, in sentences."""
    c = policy.costs
    return [
        "Decisions use what was known at the close before; entries fill at the session's open.",
        "Inside one bar the stop comes before the target; a gap through a stop fills at the open.",
        f"A fill takes at most {c.participation:.0%} of the bar's volume.",
        f"Commission {c.commission_per_share:g} a share, at least {c.commission_minimum:g} an"
        f" order, at most {c.commission_maximum:.2%} of the fill's value.",
        f"Half spread {c.half_spread_core:g} bps (core), {c.half_spread_fno:g} (F&O),"
        f" {c.half_spread_penny:g} (penny); impact {c.impact:g} · σ · √(quantity / ADV).",
        _latency(c),
    ]


def _sensitivity(session: Mapping[str, Any]) -> str:
    """What the closing equity would have gained with each assumption at half and at twice."""
    found = pd.DataFrame(session["sensitivity"])
    if not (found[["half", "twice"]] != 0.0).any(axis=None):
        return _sentences(["No order was filled: none of these assumptions moved the result."])
    names = {"half": "at half", "half_bps": "at half, bps"}
    names |= {"twice": "at twice", "twice_bps": "at twice, bps"}
    shown = found.rename(columns=names)
    return _sentences(["Equity gained, had the assumption been half or twice:"]) + table(
        shown, empty=""
    )


def _latency(costs: Costs) -> str:
    if costs.latency == "none" or costs.latency_ms == 0.0:
        return "An order takes no time to the venue."
    model = "is" if costs.latency == "fixed" else "has the median"
    return (
        f"The time of an order to the venue {model} {costs.latency_ms:g} ms; the mean move of the"
        " price in it is charged."
    )


def _stamps(traded: Traded, verdict: Mapping[str, Any]) -> str:
    done, opened = traded.summary(), traded.rows[0]
    stamps = [
        ("ledger head after the session", done["ledger_head"]),
        ("orders", done["orders_sha256"]),
        ("bars", opened["data_digest"]),
        ("model", opened["model_version"]),
        ("verdict", verdict["id"]),
    ]
    shown = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td><code>{escape(str(value))}</code></td></tr>"
        for name, value in stamps
    )
    return _section("Stamps", f"<div class='scroll'><table>{shown}</table></div>")
