"""A day as its notebooks see it: each step asked for does the steps it stands on.

Notebooks hold no logic: they open a `Lab`, call it, and show what comes back.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd

from hybridnb.app import figures, views
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.desk import Hints, Setup
from hybridnb.app.displays import register_here
from hybridnb.app.hinting import live_hints
from hybridnb.app.history import predicted_panel
from hybridnb.app.panel import Day, Panel
from hybridnb.app.postmortem_page import Page, shown
from hybridnb.app.postmortem_record import post_mortem
from hybridnb.app.progress import Say, timed, to_log
from hybridnb.app.review import Reviewed, regimes, review, stressed
from hybridnb.app.runner import emit
from hybridnb.app.sensitivity import sensitivity
from hybridnb.app.setting_up import Prepared
from hybridnb.app.state import State, first_state, restored
from hybridnb.app.stress_figures import stress_curves
from hybridnb.app.stressing import Stressed
from hybridnb.app.trading import Traded, trade
from hybridnb.app.training import Model, train, trained_to
from hybridnb.app.verdicts import find_verdict
from hybridnb.app.whatif import as_live
from hybridnb.canonical import plain
from hybridnb.domain import Mode
from hybridnb.limits import BUCKETS, limits


class Lab:
    """One day: its context, model, panel, review and session, each made when first asked for."""

    def __init__(self, context: Context, say: Say = to_log) -> None:
        self.context, self.say = context, say

    # Data

    def market(self) -> pd.DataFrame:
        """Every symbol of the feed: bucket, sessions, last close, traded value."""
        return views.market(self.context.market, self.context.features)

    def findings(self) -> pd.DataFrame:
        """What the quality checks found, the gravest first."""
        return views.findings(self.context.market.findings)

    # Training

    @cached_property
    def model(self) -> Model:
        """The model of the day, trained now if it wasn't."""
        return train(self.context, self.say)

    def model_card(self) -> pd.Series[Any]:
        """What the model is."""
        model, learning = self.model, self.context.learning
        blocked = model.trained_to < f"{trained_to(self.context):%Y-%m-%d}"
        return pd.Series(
            {
                "version": model.version,
                "trained on sessions through": model.trained_to,
                "later training": "blocked by critical drift" if blocked else "none due",
                "features": self.context.feature_set,
                "short": f"{model.meta['kinds']['short']}, {learning.short.horizon} sessions ahead",
                "mid": f"{model.meta['kinds']['mid']}, {learning.mid.horizon} sessions ahead",
                "baseline": model.meta["kinds"]["baseline"],
                "profile": self.context.profile,
                "seed": self.context.seed,
            },
            name="model",
        )

    def folds(self) -> pd.DataFrame:
        """Walk-forward folds of each predictor with the loss out of fold."""
        parts = [
            pd.DataFrame(rows).assign(model=name) for name, rows in self.model.meta["folds"].items()
        ]
        table = pd.concat(parts, ignore_index=True)
        return table[["model", *[c for c in table.columns if c != "model"]]]

    def losses(self) -> figures.Picture:
        """Training loss of the predictors by step."""
        return figures.curves(self.model.meta["losses"], x="step", y="training loss")

    def learning_curve(self) -> figures.Picture:
        """Mean reward of the size hint's training by update."""
        curve = {"mean reward": self.model.meta["learning_curve"]}
        return figures.curves(curve, x="update", y="mean reward")

    # Everything a session reads

    @cached_property
    def panel(self) -> Panel:
        """Bars, features, facts and predictions, aligned by session and symbol."""
        with timed("predict", self.say):
            return predicted_panel(self.context, self.model)

    @property
    def hints(self) -> Hints:
        return live_hints(self.model.hint, self.context)

    @property
    def prepared(self) -> Prepared:
        """What a session is traded with."""
        model, context = self.model, self.context

        def without(features: tuple[str, ...]) -> Panel:
            return predicted_panel(context, model, without=features)

        verdict = find_verdict(context, model)
        return Prepared(self.panel, self.hints, model.version, verdict, without)

    # Gates

    @cached_property
    def reviewed(self) -> Reviewed:
        """The seven gates, reviewed on the sessions that the model never saw."""
        return review(self.context, self.panel, self.model, self.hints, say=self.say)

    def gate_table(self) -> pd.DataFrame:
        """Every figure beside its threshold."""
        return views.gates(self.reviewed.verdict)

    def backtest_curve(self) -> figures.Picture:
        return figures.equity_curve(self.reviewed.backtest.equity, title="Backtest")

    def reliability(self) -> figures.Picture:
        """Calibrated probability of the target before the stop, against what happened."""
        return figures.reliability(self.reviewed.reliability)

    def regimes(self) -> pd.DataFrame:
        """Calibration by regime, with bootstrap intervals."""
        return pd.DataFrame(regimes(self.reviewed.calibrated)).round(4)

    @cached_property
    def _stressed(self) -> Stressed:
        done = vars(self).get("reviewed")
        return done.stressed if done else stressed(self.context, self.panel, self.model, self.hints)

    def stress(self) -> Stressed:
        """The eight scenarios, stepped through the decision and the venue."""
        return self._stressed

    def stress_picture(self) -> figures.Picture:
        """What each scenario cost, session by session."""
        return stress_curves(self._stressed)

    # The session

    @cached_property
    def traded(self) -> Traded:
        """The session, traded on paper now if the ledger doesn't hold it."""
        with timed("trade the session", self.say):
            return trade(self.context, self.prepared, ledger=self.context.ledger())

    def scores(self) -> figures.Picture:
        """Scores against the thresholds."""
        blend = self.context.settings.policy.blend
        return figures.scores(views.decisions(self.traded.rows), buy=blend.buy, sell=blend.sell)

    def decisions(self) -> pd.DataFrame:
        """Every decision in one line; the day's page and `explain` have every term."""
        shown = ["symbol", "bucket", "action", "score", "p_short", "p_mid", "rl", "confidence"]
        shown += ["size_pre", "capped", "size_post_risk", "bound", "refused"]
        return views.decisions(self.traded.rows)[shown].round(4)

    def orders(self) -> pd.DataFrame:
        """Every order with the state it ended in."""
        return views.orders(self.traded.rows).astype(object).fillna("–")

    def fills(self) -> pd.DataFrame:
        """Executions with their costs."""
        return views.fills(self.traded.rows).round(4)

    def refusals(self) -> pd.DataFrame:
        """Why entries were refused, or would have been."""
        return views.refusals(self.traded.rows)

    def usage(self) -> figures.Picture:
        """Bucket exposure after the session, against the limits of its mode."""
        return figures.usage(**self._usage())

    def _usage(self) -> dict[str, dict[str, float]]:
        closing, market = self.traded.closing, self.context.market
        lim = limits(self.context.settings.policy, Mode(closing["snapshot"]["risk"]["mode"]))
        limit = {str(b): lim.bucket[i] for i, b in enumerate(BUCKETS) if lim.bucket[i] > 0.0}
        used = dict.fromkeys(limit, 0.0)
        for symbol, held in closing["snapshot"]["book"]["positions"].items():
            instrument = market.instruments[symbol]
            units = abs(instrument.delta * held["quantity"]) * held["multiplier"]
            used[str(instrument.bucket)] += units * closing["prices"][symbol] / closing["equity"]
        return {"used": used, "limit": limit}

    def bracket(self) -> figures.Picture | str:
        """The largest position with its levels over its last bars; a sentence without any."""
        closing = self.traded.closing
        held = views.positions(closing["snapshot"], closing["prices"])
        if held.empty:
            return "No position is open after this session."
        row = held.iloc[int((held["quantity"] * held["price"]).argmax())]
        bars = self.context.market.bars
        bars = bars[bars["symbol"] == row["symbol"]].tail(60)
        levels = [(name, float(row[name])) for name in ("entry", "stop", "target")]
        return figures.brackets(bars, levels, symbol=str(row["symbol"]))

    # After it

    @cached_property
    def post_mortem(self) -> Page:
        """What happened and why: written once for every session, and recorded."""
        with timed("write the post-mortem", self.say):
            made = post_mortem(self.context, self.traded, self._before())
        return Page(shown(made, self.traded.rows))

    def _before(self) -> Any:
        rows = self.context.ledger().rows("session", kind="session_closed", book=self.traded.book)
        earlier = [row for row in rows if row["session"] < self.traded.session]
        return earlier[-1] if earlier else None

    def strongest(self) -> figures.Picture | str:
        """How the terms made the score that lies furthest from 0.5."""
        known = views.decisions(self.traded.rows).dropna(subset=["score"])
        if known.empty:
            return "No symbol had a score in this session."
        row = known.iloc[int((known["score"] - 0.5).abs().argmax())]
        terms = [("base", row["base"])]
        terms += [(name, -row[name]) for name in views.PENALTIES if row[name]]
        return figures.waterfall([*terms, ("= score", row["score"])], title=str(row["symbol"]))

    def as_live(self) -> pd.DataFrame:
        """The same day in every live mode."""
        state, day, setup = self._again()
        return as_live(state, day, setup, verdict_valid=setup.verdict_valid)

    def sensitivity(self) -> pd.DataFrame:
        """What the session's result owes to each assumption of the paper venue."""
        return sensitivity(*self._again())

    def _again(self) -> tuple[State, Day, Setup]:
        """What it takes to step the session once more, in memory."""
        before, policy = self._before(), self.context.settings.policy
        state: State = restored(before["snapshot"]) if before else first_state(policy)
        valid = find_verdict(self.context, self.model) is not None
        setup = Setup("what-if", policy, "what-if", self.model.version, self.hints, valid)
        return state, self.panel.day(self.panel.position(self.context.session)), setup

    # What the day's index page needs

    def export(self, what: str) -> None:
        """Hand a step's results to the run's record; in JupyterLab this does nothing."""
        for name, value in self._results(what).items():
            emit(name, plain(value))

    def _results(self, what: str) -> dict[str, Any]:
        match what:
            case "training":
                return {"model": self.model.version, "trained_to": self.model.trained_to}
            case "gate_review":
                return self.reviewed.export()
            case "live_session":
                again = self.sensitivity().to_dict("records")
                shown = {"session": self.traded.summary(), "usage": self._usage()}
                return shown | {"sensitivity": again}
            case "post_mortem":
                modes = self.as_live().to_dict("records")
                return {"post_mortem": self.post_mortem.values, "as_live": modes}
        raise ValueError(f"nothing is exported of {what!r}")


def open_lab(
    feed: str = "",
    data: str = "",
    session: str = "",
    seed: int = -1,
    profile: str = "",
    params: str = "",
) -> Lab:
    """Open a day from a notebook's parameters; empty ones and a seed of −1 stand for `params/`.

    Raises
    ------
    InputError, ParamsError, UsageError, Missing
        Each says what to mend.
    """
    register_here()
    context = open_day(Request(feed, data, session, None if seed < 0 else seed, profile, params))
    market = context.market
    to_log(
        f"{market.feed}, {context.session}: {len(market.bars):,} bars of"
        f" {market.bars['symbol'].nunique()} symbols, {market.calendar}, {market.currency}"
    )
    return Lab(context)
