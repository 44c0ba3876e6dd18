"""What decides, and who is asked when it isn't sure: the model, its features, the reasoners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from hybridnb.app.dashboard.model import Block, View, rows
from hybridnb.app.dashboard.words import (
    UNKNOWN,
    empty,
    facts,
    known,
    mark,
    markup,
    moment,
    number,
    share,
    words,
)

_PASS = "PASS"
_SHORT = 12  # characters of a digest that tell versions apart


def model(view: View) -> Markup:
    """The model in force, its verdict, weights and reward mix, and which features it reads."""
    found = view.block("learning")
    if not found:
        return empty("No model is known yet.")
    return markup((facts(_facts(found, view)), _features(rows(found, "features"))))


def _facts(found: Block, view: View) -> Iterable[tuple[str, Markup]]:
    yield "Model", _dated(_version(found.get("model_version")), found.get("trained_to"), "to")
    at = moment(found.get("policy_at"), view.now) if found.get("policy_at") else None
    version = _version(found.get("policy_version"))
    yield (
        "Policy",
        Markup('{} <span class="quiet">{}</span>').format(version, at) if at else version,
    )
    yield "Verdict", _verdict(found.get("verdict"))
    yield "Weights", _mix(found.get("weights"))
    yield "Reward mix", _mix(found.get("reward_mix"))
    yield "Ensemble", _ensemble(found)
    line = Markup('{} <span class="quiet">hits, Sharpe</span> {}')
    hits, sharpe = share(found.get("hit_rate"), 1), number(found.get("sharpe"))
    yield "Unseen", line.format(hits, sharpe) if hits != UNKNOWN or sharpe != UNKNOWN else UNKNOWN
    local = found.get("local_reasoner")
    also = Markup(' <span class="quiet">else</span> {}').format(str(local)) if local else ""
    yield "Reasoner", Markup("{}{}").format(words(found.get("reasoner")), also)


def _version(value: Any) -> Markup:
    """A version, of a digest its beginning; the whole on pointing at it."""
    if not value:
        return UNKNOWN
    text = str(value)
    return Markup('<code title="{}">{}</code>').format(text, text[:_SHORT])


def _dated(shown: Markup, date: Any, word: str) -> Markup:
    if not date:
        return shown
    return Markup('{} <span class="quiet">{} {}</span>').format(shown, word, str(date))


def _verdict(found: Any) -> Markup:
    if not isinstance(found, Mapping) or not found.get("status"):
        return Markup('<span class="quiet">none yet: no live entry without one</span>')
    status = str(found["status"])
    good = status == _PASS
    symbol = "\N{CHECK MARK}" if good else "\N{BLACK UP-POINTING TRIANGLE}"
    shown = mark("good" if good else "warn", symbol, status)
    of = _dated(shown, found.get("session"), "of")
    until = found.get("valid_until")
    return _dated(of, until, "until") if isinstance(until, str) else of


def _mix(found: Any) -> Markup:
    """Named numbers, after the name of their mix where it has one."""
    if not isinstance(found, Mapping) or not found:
        return UNKNOWN
    part = Markup('<span class="part"><span class="quiet">{}</span> {}</span> ').format
    named = Markup("{} ").format(words(found["name"])) if found.get("name") else ""
    numbers = [part(str(key), number(v)) for key, v in found.items() if key != "name"]
    return markup((named, *numbers))


def _ensemble(found: Block) -> Markup:
    """How often the ensemble was right lately, beside what the commoner outcome alone gives."""
    right = share(found.get("accuracy"), 1)
    if known(found.get("accuracy")) is not None:
        baseline = share(found.get("accuracy_baseline"), 1)
        more = Markup('{} <span class="quiet">right, {} by the baseline</span>')
        right = more.format(right, baseline)
    made_of = found.get("ensemble")
    return Markup("{}<br>{}").format(right, str(made_of)) if made_of else right


def _features(found: list[Block]) -> Markup:
    """The toggles as they stand; they are set in params, by hand."""
    if not found:
        return Markup("")
    on = sum(bool(row.get("on")) for row in found)
    each = Markup('<li class="{}">{} {}</li>').format
    listed = markup(
        each(
            "on" if row.get("on") else "off",
            "\N{CHECK MARK}" if row.get("on") else "\N{MULTIPLICATION SIGN}",
            str(row.get("name", "")),
        )
        for row in found
    )
    return Markup(
        "<details><summary>Features: {} of {} on</summary><ul class='toggles'>{}</ul></details>"
    ).format(on, len(found), listed)


def escalation(view: View) -> Markup:
    """Calls of the day, the breaker, what cools down, what waits, the last call."""
    found = view.block("escalation")
    if not found:
        return empty("Escalation is unknown.")
    return facts(_asking(found, view))


def _asking(found: Block, view: View) -> Iterable[tuple[str, Markup]]:
    made, most = known(found.get("calls_today")), known(found.get("daily_limit"))
    yield "GPT-5 today", _calls(made, most, found.get("kept_for_judge"))
    yield "Resets", moment(found.get("resets_at"), view.now)
    breaker = str(found.get("breaker") or "unknown")
    closed = Markup('<span class="quiet">breaker {}</span>').format(breaker)
    open_ = mark("warn", "\N{BLACK UP-POINTING TRIANGLE}", f"breaker {breaker}")
    who = words(found.get("provider") or "nobody")
    yield "Frontier", Markup("{} {}").format(who, closed if breaker == "closed" else open_)
    last = found.get("last_call")
    if isinstance(last, Mapping):
        outcome = words(last.get("outcome") or "no end recorded")
        at = moment(last.get("at"), view.now)
        yield (
            "Last call",
            Markup('{} {} <span class="quiet">{}</span>').format(
                words(last.get("call")), outcome, at
            ),
        )
    if found.get("waiting"):
        yield "Waiting", Markup("{} for an answer").format(found["waiting"])
    for each in rows(found, "cooldowns"):
        until = Markup("until {}").format(moment(each.get("until"), view.now))
        yield str(each.get("trigger", "")), until


def _calls(made: float | None, most: float | None, kept: Any) -> Markup:
    if made is None or most is None:
        return UNKNOWN
    dots = Markup('<span class="dots" aria-hidden="true">{}{}</span>').format(
        Markup('<i class="on"></i>') * int(made), Markup("<i></i>") * max(0, int(most - made))
    )
    judge = Markup(' <span class="quiet">{} kept for the judge</span>').format(kept) if kept else ""
    return Markup("{} <b>{}/{}</b>{}").format(dots, int(made), int(most), judge)
