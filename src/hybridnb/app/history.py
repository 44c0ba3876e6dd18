"""The whole predicted history of a feed, opened for a replay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from hybridnb.app.backtest import predicted_rows
from hybridnb.app.context import Context
from hybridnb.app.kernels import MODE, writable
from hybridnb.app.panel import Floats, Panel, panel
from hybridnb.app.predicting import combined_raw
from hybridnb.app.progress import Say, timed
from hybridnb.app.replay_hints import ReplayHints, replay_hints
from hybridnb.app.replaying import names_of, tape_of
from hybridnb.app.training import (
    Model,
    find_model,
    model_folder,
    predictions,
    trained_to,
)
from hybridnb.errors import Missing, UsageError
from hybridnb.escalation.portfolio import RESOLVED
from hybridnb.market.extra import macro_events, put_call
from hybridnb.market.news import sentiment
from hybridnb.replay.tape import Names, Tape

BASELINE = 252  # resolved predictions before the last, for a baseline to mean anything


@dataclass(frozen=True)
class History:
    """A panel with its predictions and the sessions to replay: rows `start` to before `stop`."""

    context: Context
    model: Model
    panel: Panel
    start: int
    stop: int

    @cached_property
    def tape(self) -> Tape:
        """All rows of the panel; the views of the hint are written as a replay goes on."""
        return writable(tape_of(self.panel))

    @cached_property
    def names(self) -> Names:
        return names_of(self.panel, self.context.settings.policy, MODE)

    @cached_property
    def hints(self) -> ReplayHints:
        return replay_hints(self.model.hint, self.panel)

    @property
    def bars(self) -> int:
        """Bars in the sessions to replay."""
        return int(np.count_nonzero(self.panel.present[self.start : self.stop]))

    @property
    def sessions(self) -> tuple[str, str]:
        """The first and the last session to replay."""
        days = self.panel.sessions[[self.start, self.stop - 1]].strftime("%Y-%m-%d")
        return str(days[0]), str(days[1])


def predicted_panel(context: Context, model: Model, *, without: tuple[str, ...] = ()) -> Panel:
    """Bars, features, facts, predictions and news of a context, aligned by session and symbol.

    Features in `without` say nothing in the last session's predictions.
    """
    market = context.market
    symbols = sorted(market.bars["symbol"].unique())
    news = (
        sentiment(market.headlines, context.sessions, symbols, calendar=market.calendar)
        if market.headlines is not None
        else None
    )
    found = panel(
        market,
        sessions=context.sessions,
        ordinals=context.ordinals,
        features=context.features,
        facts=context.facts,
        predictions=predictions(context, model, without=without),
        sentiment=news,
    )
    return with_facts(found, context)


def with_facts(found: Panel, context: Context) -> Panel:
    """A panel with the facts that aren't of the bars alone: accuracy, news, the facts' file."""
    raw = {"short": found.columns["short_raw"], "mid": found.columns["mid_raw"]}
    accuracy, baseline = accuracies(
        combined_raw(context, raw), found.columns["close"], context.learning.short.horizon
    )
    facts = found.facts.assign(
        ensemble_accuracy=accuracy,
        accuracy_baseline=baseline,
        news_sentiment=_mean(found.columns["sentiment"]),
        put_call_ratio=np.nan,
    )
    if context.extra is None:
        return replace(found, facts=facts)
    code = context.market.calendar
    ratio = put_call(context.extra, found.sessions, calendar=code)
    events = macro_events(context.extra, found.sessions, calendar=code)
    return replace(found, facts=facts.assign(put_call_ratio=ratio), macro=events)


def _mean(table: Floats) -> Floats:
    """Mean of what each row knows, shape (t,); NaN where it knows nothing."""
    known = np.isfinite(table)
    count = known.sum(axis=1)
    total = np.where(known, table, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def accuracies(probabilities: Floats, closes: Floats, horizon: int) -> tuple[Floats, Floats]:
    """Accuracy of the last resolved predictions as of each session, and what it is held against.

    A session's prediction resolves `horizon` sessions later, where the name has both closes: it
    was right where it told whether the close would be higher. Exactly 0.5 predicts nothing.
    Predictions count in the order in which they resolved, those of one session by name, as in
    `escalation.portfolio.ensemble_accuracy`.

    Parameters
    ----------
    probabilities : ndarray, shape (t, n)
        Of a higher close, each made out of fold.
    closes : ndarray, shape (t, n)
        NaN where a name has none.
    horizon : int
        Sessions.

    Returns
    -------
    tuple of ndarray, shape (t,)
        Accuracy of the last `RESOLVED`; accuracy of all before those, at least `BASELINE`. NaN
        where there are fewer.
    """
    before, after = closes[:-horizon], closes[horizon:]
    made = probabilities[:-horizon]
    counts = np.isfinite(made) & (made != 0.5) & np.isfinite(before) & np.isfinite(after)
    right = (made > 0.5) == (after > before)
    hits = np.concatenate([[0], np.cumsum(right[counts])])
    resolved = np.zeros(len(closes), np.int64)
    resolved[horizon:] = np.cumsum(counts.sum(axis=1))
    earlier = np.maximum(resolved - RESOLVED, 0)
    accuracy = (hits[resolved] - hits[earlier]) / RESOLVED
    baseline = hits[earlier] / np.maximum(earlier, 1)
    return (
        np.where(resolved >= RESOLVED, accuracy, np.nan),
        np.where(earlier >= BASELINE, baseline, np.nan),
    )


def open_history(context: Context, *, first: str, last: str, say: Say) -> History:
    """The predicted sessions of a day's feed, from `first` to `last` where given.

    Raises
    ------
    Missing
        When no model was trained for the day.
    UsageError
        When a date is none, or no predicted session lies between the two.
    """
    since, until = _date(first, "--from"), _date(last, "--to")
    if not model_folder(context, trained_to(context)).is_dir():
        raise Missing(
            f"no model is trained for {context.market.feed} on {context.session}:"
            " a replay has no predictions to trade on",
            remedy="Run `hybridnb day` with the same options first.",
        )
    model = find_model(context)
    with timed("predict", say):
        found = predicted_panel(context, model)
    # Session t decides on row t − 1.
    rows = predicted_rows(found) + 1
    rows = rows[rows < len(found.sessions)]
    if len(rows) == 0:
        raise UsageError(
            f"no session to {context.session} has predictions on the day before",
            remedy="Give a later --date, or a longer history.",
        )
    days = found.sessions[rows]
    kept = rows[(days >= (since or days[0])) & (days <= (until or days[-1]))]
    if len(kept) == 0:
        raise UsageError(
            f"no predicted session lies between {first or 'the first'} and {last or 'the last'}",
            remedy=f"They reach from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}.",
        )
    return History(context, model, found, int(kept[0]), int(kept[-1]) + 1)


def _date(text: str, option: str) -> pd.Timestamp | None:
    if not text:
        return None
    try:
        return pd.Timestamp(pd.to_datetime(text, format="%Y-%m-%d"))
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no date", remedy="Write it as 2013-03-01."
        ) from None
