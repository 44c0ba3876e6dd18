"""A book whose first session escalates, and two loopback servers to answer: for tests."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hybridnb.app.asking import Asking, answer_pending
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.home import shipped
from hybridnb.app.panel import PREDICTIONS, panel
from hybridnb.app.setting_up import Prepared
from hybridnb.app.trading import Traded, trade
from hybridnb.ledger.store import Ledger

FIRST, SECOND = "2013-02-25", "2013-02-26"
ALWAYS = {"volatility_z": 1e-9, "spike": -1.0}  # any market is in a crisis
_READY: dict[str, Prepared] = {}  # by session: the same for every test


def quiet(text: str) -> None:
    """Nothing is said."""


def write_params(folder: Path, **changes: Mapping[str, Any]) -> Path:
    """The shipped parameters with changes of escalation.yml; nobody is asked unless named."""
    shutil.copytree(shipped("params"), folder)
    values = {"triggers": ALWAYS, "frontier": {"reasoner": ""}, "local": {"reasoner": ""}}
    values |= {"sandbox_sessions": 10} | changes
    (folder / "escalation.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


def frontier(url: str, **more: Any) -> dict[str, Any]:
    return {"reasoner": "openai", "settings": {"base_url": url}, **more}


def local(host: str, **more: Any) -> dict[str, Any]:
    return {"reasoner": "ollama", "settings": {"host": host}, **more}


def hopeful(context: Context) -> Prepared:
    """Everything is expected to rise: every core name is entered."""
    if context.session not in _READY:
        frame = context.market.bars[["symbol", "session"]].assign(
            **dict.fromkeys(PREDICTIONS, 0.9) | {"win_long": 0.6, "win_short": 0.4}
        )
        found = panel(
            context.market,
            sessions=context.sessions,
            ordinals=context.ordinals,
            features=context.features,
            facts=context.facts,
            predictions=frame,
        )
        hints = lambda day, state: np.full(len(day.symbols), 4.0)  # noqa: E731
        _READY[context.session] = Prepared(found, hints, "m", None, lambda features: found)
    return _READY[context.session]


class Book:
    """A book of the `sample` feed under these parameters, in the home in force."""

    def __init__(self, params: Path) -> None:
        self.params = params

    def context(self, session: str) -> Context:
        return open_day(Request(session=session, params=str(self.params)))

    def trade(self, session: str) -> Traded:
        context = self.context(session)
        return trade(context, hopeful(context), ledger=context.ledger())

    def asking(self, session: str, *, at: str = "22:00", spend: bool = False) -> Asking:
        context = self.context(session)
        book = {row["book"] for row in context.ledger().rows("session", kind="inputs")}.pop()
        moment = dt.datetime.fromisoformat(f"{session}T{at}+00:00")
        return Asking(
            context, context.ledger(), book, lambda: hopeful(context), lambda: moment, spend
        )

    def ask(self, session: str, **how: Any) -> list[dict[str, Any]]:
        return answer_pending(self.asking(session, **how), quiet)

    @property
    def ledger(self) -> Ledger:
        return self.context(FIRST).ledger()

    def told(self, kind: str, **match: str) -> list[dict[str, Any]]:
        """Rows of the operations chain."""
        return list(self.ledger.rows("operations", kind=kind, **match))
