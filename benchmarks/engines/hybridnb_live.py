"""hybridnb's live path, one call a session: `decide` alone, compiled, or the whole `step`."""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

import numpy as np
from data import RULE

from engines.hybridnb_engine import SCALE, WINDOW, tape_of
from engines.report import Data, measured

FORM = "step" if "step" in sys.argv else "decide"
SESSIONS = {"decide": 1_000, "step": 300}  # every one is a call of its own
DOES = {
    "decide": (
        "hybridnb live, the decision alone, compiled, with every figure that explain shows: one "
        "call a session over all names, holdings as decided the session before; no orders"
    ),
    "step": (
        "hybridnb live, the session's step in plain Python with everything it records, written "
        "nowhere: decision, orders, fills, protection, guards, control plane"
    ),
}
took: list[float] = []


def what() -> str:
    """What was timed, with the times of a call."""
    middle, far = np.quantile(took, 0.5) * 1e3, np.quantile(took, 0.999) * 1e3
    calls = f"{len(took)} calls, median {middle:.3f} ms, 99.9 % within {far:.3f} ms"
    return f"{DOES[FORM]}; {calls}, over the first {SESSIONS[FORM]} sessions"


def prepare(data: Data) -> Any:
    return panel_of(data) if FORM == "step" else tape_of(data)


def run(prepared: Any) -> int:
    with np.errstate(all="ignore"):
        return step_all(prepared) if FORM == "step" else decide_all(prepared)


def decide_all(tape: Any) -> int:
    """Decide each session after the window; the entries that were decided."""
    from hybridnb.decide import DECISION, INPUT
    from hybridnb.domain import Bucket, Mode
    from hybridnb.entries import Account
    from hybridnb.limits import CODE, limits
    from hybridnb.policy import Policy

    kernel, lim = _twin(), limits(Policy(), Mode.DEMO)
    n, entries = tape.close.shape[1], 0
    rows, out = np.zeros(n, INPUT), np.zeros(n, DECISION)
    rows["bucket"], rows["posture"], rows["margin_rate"] = CODE[Bucket.CORE], 1.0, 1.0
    rows["rl"] = rows["sentiment"] = np.nan
    rows["liquidity"], rows["correlation"] = 1.0, 0.5
    account = Account(RULE["cash"], 0.1, False)
    took.clear()
    for t in range(WINDOW, len(tape.days)):
        for name in ("p_short", "p_mid", "price", "atr", "annual_volatility", "win_long"):
            rows[name] = getattr(tape, name)[t]
        returns = tape.returns[:, t - WINDOW + 1 : t + 1].T
        out[:] = np.zeros(1, DECISION)
        begun = time.perf_counter()
        kernel(lim, account, rows, returns, out)
        took.append(time.perf_counter() - begun)
        entries += int(np.sum(out["size_post_risk"] > rows["held"]))
        rows["held"] = out["size_post_risk"]
        stops = lim.stop_atr * rows["atr"] / rows["price"]
        rows["risk"] = np.where(rows["held"] > 0.0, rows["held"] * stops, 0.0)
    return entries


@functools.cache
def _twin() -> Any:
    from platformdirs import user_cache_path

    from hybridnb.decide import decide_into
    from hybridnb.replay.compiler import compiled

    return compiled(decide_into, cache=user_cache_path("hybridnb") / "replay")


def step_all(panel: Any) -> int:
    """Step each session; the trades that were closed."""
    from hybridnb.app.desk import Setup
    from hybridnb.app.records import Recorder
    from hybridnb.app.session import step
    from hybridnb.app.state import first_state
    from hybridnb.policy import Policy

    policy, unknown = Policy(opening_cash=RULE["cash"]), np.full(len(panel.symbols), np.nan)
    setup = Setup("book", policy, "", "", lambda day, state: unknown)
    state, trades = first_state(policy), 0
    took.clear()
    for i in range(1, len(panel.sessions)):
        begun = time.perf_counter()
        day = panel.day(i)
        record = Recorder(book="book", session=day.session, stamp={})
        state = step(state, day, setup, record)
        took.append(time.perf_counter() - begun)
        trades += sum(row["kind"] == "trade" for row in record.rows)
    return trades


def panel_of(data: Data) -> Any:
    """The shared bars as the live session takes them, its features given as for a replay."""
    import pandas as pd

    from hybridnb.app.panel import Panel
    from hybridnb.domain import Bucket, Instrument

    tape = tape_of(data)
    shape = tape.close.shape
    sessions = pd.bdate_range("1900-01-01", periods=shape[0])
    symbols = tuple(f"S{i:04d}" for i in range(shape[1]))
    names = ("p_short", "p_mid", "atr", "annual_volatility", "adv", "median_value")
    columns = {name: getattr(tape, name) for name in (*names, "daily_volatility", "sentiment")}
    columns |= {name: getattr(tape, name) for name in ("win_long", "win_short")}
    columns |= {"close": tape.price, "short_raw": tape.p_short, "mid_raw": tape.p_mid}
    facts: dict[str, Any] = {"volatility_zscore": 0.0, "correlation": 0.5, "correlation_floor": 0.0}
    facts |= {"trend_strength": 0.0, "regime": "range"}
    last = pd.DataFrame(np.where(tape.close > 0, tape.close, np.nan)).ffill().fillna(0)
    return Panel(
        sessions=sessions,
        ordinals=tape.ordinals,
        symbols=symbols,
        instruments={
            s: Instrument(s, Bucket.CORE, "USD", tick=SCALE // 100, margin_rate=1.0)
            for s in symbols
        },
        prices=np.stack([tape.open, tape.high, tape.low, tape.close, tape.volume]),
        present=tape.close > 0,
        last=last.to_numpy(np.int64),
        columns=columns,
        facts=pd.DataFrame(facts, index=sessions),
        returns=np.ascontiguousarray(tape.returns.T),
        excluded={},
        currency="USD",
    )


if __name__ == "__main__":
    measured(run, what=what, prepare=prepare, repeat=FORM == "decide", sessions=SESSIONS[FORM])
