"""`hybridnb triggers`: a crisis stepped again, what fired in it, and what replies would have done.

Each stretch of sessions is stepped four times from a new account, as a session is traded: under
the operator's policy and under an amplified one (`AMPLIFIED`), each without replies and with
scripted ones. A scripted reply comes to every event, passes the sandbox, and holds from the next
session for as long as a real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import pandas as pd

from hybridnb.app.backtest import predicted_rows
from hybridnb.app.context import Request, open_day
from hybridnb.app.crisis_course import course
from hybridnb.app.crisis_page import crisis_page
from hybridnb.app.history import History, open_history
from hybridnb.app.home import reports_folder
from hybridnb.app.progress import Say
from hybridnb.app.runner import write_atomically
from hybridnb.app.stretch import figures_of
from hybridnb.canonical import plain, sha256
from hybridnb.errors import Missing, UsageError
from hybridnb.ledger.store import Ledger
from hybridnb.policy import Policy, policy_values, validated

REPLAYED = "crisis_replayed"  # a stretch of history, in the operations chain

# The operator's policy with these values: nothing of its own keeps the book small in a fall.
AMPLIFIED: Mapping[str, Mapping[str, float]] = {
    "blend": {"volatility_penalty": 0.0},
    "sizing": {
        "kelly_fraction": 1.0,
        "volatility_target": 10.0,
        "var_limit": 0.1,
        "es_limit": 0.15,
        "heat_limit": 10.0,
    },
    "clamps": {"bucket_penny": 0.0, "bucket_fno": 0.0, "bucket_core": 1.0, "name_core": 1.0},
}


def replay_crises(
    request: Request, firsts: Sequence[str], lasts: Sequence[str], *, say: Say
) -> dict[str, Any]:
    """Step every stretch of sessions with its triggers, and write a page about them.

    Parameters
    ----------
    request : Request
        Without a session, each stretch is seen from its own last one: no model and no fact knows
        what came later.
    firsts, lasts : sequence of str
        Days or months (`2008-09`), one pair a stretch; none: all sessions with predictions.

    Raises
    ------
    UsageError
        When the two aren't pairs, or no predicted session lies in one.
    Missing
        When no model was trained for a stretch.
    """
    if len(firsts) != len(lasts):
        raise UsageError(
            f"{len(firsts)} --from and {len(lasts)} --to", remedy="Give them in pairs."
        )
    pairs = list(zip(firsts, lasts, strict=True)) or [("", "")]
    done: dict[str, Any] = {"stretches": []}
    for first, last in pairs:
        history = _opened(request, first, last, say)
        done["feed"] = history.context.market.feed
        done["stretches"].append(_stretch(history, say))
    folder = reports_folder(history.context.home)
    path = folder / f"triggers-{done['feed']}-{sha256(done)[:8]}" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, crisis_page(done))
    for stretch in done["stretches"]:
        for each in stretch["policies"]:
            del each["curves"]
    _record(history.context.ledger(), done)
    return {**done, "report": str(path)}


def _record(ledger: Ledger, done: Mapping[str, Any]) -> None:
    """What each stretch came to, once: the go-live plan asks for such replays."""
    known = {row["id"] for row in ledger.rows("operations", kind=REPLAYED)}
    rows = []
    for stretch in done["stretches"]:
        fired = [event for each in stretch["policies"] for event in each["fired"]]
        row = {
            "kind": REPLAYED,
            "feed": done["feed"],
            **{name: stretch[name] for name in ("first", "last", "model_version")},
            "spikes": sorted({e["session"] for e in fired if "regime" in _triggers(e)}),
            "kills": sorted({s for p in stretch["policies"] for s in p["without"]["kills"]}),
            "events": len(fired),
        }
        rows.append(row | {"id": sha256(row)[:16]})
    fresh = [row for row in rows if row["id"] not in known]
    if fresh:
        ledger.append("operations", fresh)


def _triggers(event: Mapping[str, Any]) -> tuple[str, ...]:
    return (event["trigger"], *event["joined"])


def _opened(request: Request, first: str, last: str, say: Say) -> History:
    since, until = _edge(first, "start"), _edge(last, "end")
    if until and not request.session:
        known = pd.DatetimeIndex(open_day(request).history["session"].unique()).sort_values()
        known = known[known <= pd.Timestamp(until)]
        if len(known) == 0:
            raise UsageError(f"no session of the feed lies before {last}")
        request = replace(request, session=f"{known[-1]:%Y-%m-%d}")
    context = open_day(request)
    try:
        return open_history(context, first=since, last=until, say=say)
    except Missing as error:
        feed = context.market.feed
        raise Missing(
            str(error),
            remedy=f"Run `hybridnb day --feed {feed} --date {context.session}` first.",
        ) from None


def _edge(text: str, which: Literal["start", "end"]) -> str:
    """A day as it is, of a month its first or last; empty stays so."""
    if not text:
        return ""
    try:
        month = pd.Period(text, freq="M")
        day = pd.Timestamp(text) if text.count("-") > 1 else month.to_timestamp(how=which)
    except ValueError:
        raise UsageError(f"{text!r} is no date", remedy="Write 2008-09 or 2008-09-15.") from None
    return f"{day:%Y-%m-%d}"


def _stretch(history: History, say: Say) -> dict[str, Any]:
    context, model = history.context, history.model
    begin, end = history.sessions
    operator = context.settings.policy
    wide = validated(Policy, _merged(policy_values(operator), AMPLIFIED))
    policies = []
    for name, policy in (("operator", operator), ("amplified", wide)):
        say(f"{begin} to {end}, {history.stop - history.start:,} sessions, {name} policy")
        policies.append(_under(history, name, policy, operator))
    rows = predicted_rows(history.panel)
    rows = rows[history.panel.sessions[rows] <= pd.Timestamp(model.trained_to)]
    taught = rows[: int(len(rows) * (1.0 - context.settings.day.holdout))]
    found: Any = plain(
        {
            "first": begin,
            "last": end,
            "sessions": history.stop - history.start,
            "as_of": context.session,
            "model_version": model.version,
            "trained_to": model.trained_to,
            "hint_trained_to": f"{history.panel.sessions[taught[-1]]:%Y-%m-%d}",
            "opening_cash": operator.opening_cash,
            "notes": context.market.notes,
            "triggers": context.settings.escalation.triggers.model_dump(mode="json"),
            "policies": policies,
        }
    )
    return dict(found)


def _merged(values: Mapping[str, Any], over: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {**values, **{section: {**values[section], **part} for section, part in over.items()}}


def _under(history: History, name: str, policy: Policy, operator: Policy) -> dict[str, Any]:
    """Both courses of one policy."""
    cash, bar = policy.opening_cash, history.context.settings.escalation.triggers.drawdown_5d
    bare, replied = (course(history, policy, replies=with_them) for with_them in (False, True))
    facts = [next(r["facts"] for r in s.rows if r["kind"] == "facts") for s in bare.steps]
    return {
        "name": name,
        "policy_id": policy.id,
        "max_leverage": policy.sizing.max_leverage,
        "changed": [
            {"key": f"{section}.{key}", "before": before, "after": value}
            for section, part in AMPLIFIED.items()
            for key, value in part.items()
            if (before := getattr(getattr(operator, section), key))
            != getattr(getattr(policy, section), key)
        ],
        "without": asdict(figures_of(bare.steps, cash=cash, bar=bar)),
        "with": asdict(figures_of(replied.steps, cash=cash, bar=bar)),
        "fired": bare.events,
        "answered": replied.events,
        "curves": {
            "session": [step.session for step in bare.steps],
            "volatility_zscore": [each["volatility_zscore"] for each in facts],
            "correlation": [each["correlation_breakdown"] for each in facts],
            "without": [step.equity for step in bare.steps],
            "with": [step.equity for step in replied.steps],
        },
    }
