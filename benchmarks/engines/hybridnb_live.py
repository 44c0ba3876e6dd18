"""hybridnb's live path, one call a session: the decision alone, or the whole `step`.

The form is `decide` or `step`; with `-few` convictions make one name in 250 act, instead of
those all engines share, on which two names in five do.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from data import RULE, score

from engines.hybridnb_engine import SCALE, WINDOW
from engines.report import Data, measured

ASKED = next((a for a in sys.argv[1:] if a.partition("-")[0] in ("decide", "step")), "decide")
FORM, _, CHOICE = ASKED.partition("-")
FEW = CHOICE == "few"
SHARE, VIEW = 0.004, 0.9  # of the names that act where few do, and what both predictors say
CALLS = 1_000  # sessions of a pass, where there are so many
PASSES = 5  # over the same sessions: what a machine adds to a call differs from pass to pass
HELD = 5  # sessions that a name is held where there are no stops
WARM = 10  # calls that aren't counted
COLLECT = 25  # calls between two collections of garbage, outside of what is timed
SEED = 5
DOES = {
    "decide": (
        "hybridnb live, the decision alone, compiled, with every figure that explain shows: one "
        "call a session over all names; what was entered is held for five sessions, as long as "
        "stops and targets leave it in a step; no orders"
    ),
    "step": (
        "hybridnb live, one step of a session from given features to the venue and back, on the "
        "paper venue: inputs, compiled decision, orders, submission, fills, protection, trailing "
        "stops, guards and closing state, every event kept in memory as the value it is. Rows "
        "are encoded after the clock stops, where a live session does it at its commits; nothing "
        "is written to disk"
    ),
}
took: list[list[float]] = []  # seconds of each call, by pass
encoded: list[list[float]] = []


def what() -> str:
    """What was timed, with the times of a call."""
    text = f"{DOES[FORM]}; {_times(took)}"
    text += f"; encoding the rows: {_times(encoded)}" if encoded else ""
    acting = "one name in 250 acts" if FEW else "two names in five act"
    return f"{text}; {acting}; no garbage is collected while the clock runs"


def _times(seconds: list[list[float]]) -> str:
    least, middle = (np.quantile(seconds, q) * 1e3 for q in (0.0, 0.5))
    far, steady = within(seconds)
    return (
        f"{len(seconds)} passes over {len(seconds[0])} calls, least {least:.3f} ms, median "
        f"{middle:.3f} ms, 99.9 % within {far:.3f} ms; of each call's median over the passes "
        f"99.9 % within {steady:.3f} ms"
    )


def within(seconds: list[list[float]]) -> tuple[float, float]:
    """Milliseconds that 99.9 % of all calls, and of each call's median, were within."""
    calls = np.array(seconds) * 1e3
    return tuple(float(np.quantile(each, 0.999)) for each in (calls, np.median(calls, axis=0)))


def run(panel: Any) -> int:
    each = step_all if FORM == "step" else decide_all
    took.clear()
    encoded.clear()
    with np.errstate(all="ignore"), _no_pauses():
        return [each(panel) for _ in range(PASSES)][-1]


@contextmanager
def _no_pauses() -> Iterator[None]:
    """Garbage is collected between calls only."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def decide_all(panel: Any) -> int:
    """Decide each session after the window; the entries that were decided."""
    from platformdirs import user_cache_path

    from hybridnb.app.deciding import decider
    from hybridnb.decide import INPUT
    from hybridnb.domain import Mode
    from hybridnb.entries import Account
    from hybridnb.limits import limits
    from hybridnb.policy import Policy

    decide = decider(len(panel.symbols), user_cache_path("hybridnb") / "replay")
    lim, rows = limits(Policy(), Mode.DEMO), np.zeros(len(panel.symbols), INPUT)
    since = np.full(len(rows), -WARM - HELD)
    rows["bucket"], rows["margin_rate"] = panel.traits.bucket, panel.traits.margin_rate
    rows["posture"], rows["rl"], rows["sentiment"] = 1.0, np.nan, np.nan
    rows["liquidity"], rows["correlation"] = 1.0, 0.5
    account, entries = Account(RULE["cash"], 0.1, False), 0
    columns = {name: name for name in ("p_short", "p_mid", "atr", "annual_volatility", "win_long")}
    columns |= {"win_short": "win_short", "price": "close"}
    times: list[float] = []
    for call, t in enumerate(_sessions(panel), -WARM):
        for name, column in columns.items():
            rows[name] = panel.columns[column][t]
        returns = panel.returns[t - WINDOW + 1 : t + 1]
        begun = time.perf_counter()
        out = decide(lim, account, rows, returns)
        _timed(times, begun, call)
        entered = out["size_post_risk"] > rows["held"]
        entries += int(np.sum(entered))
        since[entered] = call
        rows["held"] = np.where(call - since < HELD, out["size_post_risk"], 0.0)
        stops = lim.stop_atr * rows["atr"] / rows["price"]
        rows["risk"] = np.where(rows["held"] > 0.0, rows["held"] * stops, 0.0)
    took.append(times)
    return entries


def _sessions(panel: Any) -> range:
    """Those of a pass, and some before them that aren't counted."""
    return range(WINDOW, len(panel.sessions))[: CALLS + WARM]


def _timed(times: list[float], begun: float, call: int) -> None:
    seconds = time.perf_counter() - begun
    if call >= 0:
        times.append(seconds)
    if call % COLLECT == 0:
        gc.collect()


def step_all(panel: Any) -> int:
    """Step each session after the window; the trades that were closed."""
    from platformdirs import user_cache_path

    from hybridnb.app.deciding import decider
    from hybridnb.app.desk import Setup
    from hybridnb.app.records import Recorder
    from hybridnb.app.session import step
    from hybridnb.app.state import first_state
    from hybridnb.policy import Policy

    policy, unknown = Policy(opening_cash=RULE["cash"]), np.full(len(panel.symbols), np.nan)
    fast = decider(len(panel.symbols), user_cache_path("hybridnb") / "replay")
    setup = Setup("book", policy, "", "", lambda day, state: unknown, decide=fast)
    state, trades = first_state(policy), 0
    times: list[float] = []
    written: list[float] = []
    for call, i in enumerate(_sessions(panel), -WARM):
        day = panel.day(i)
        begun = time.perf_counter()
        record = Recorder(book="book", session=day.session, stamp={})
        state = step(state, day, setup, record)
        _timed(times, begun, call)
        begun = time.perf_counter()
        rows = record.rows
        _timed(written, begun, call)
        trades += sum(row["kind"] == "trade" for row in rows)
    took.append(times)
    encoded.append(written)
    return trades


def panel_of(data: Data) -> Any:
    """The shared bars as the live session takes them, its features given as for a replay.

    The win probability is a tenth of what the conviction claims; no sentiment, no index.
    """
    import pandas as pd

    from hybridnb.app.panel import Panel
    from hybridnb.domain import Bucket, Instrument

    close, shape = data["close"], data["close"].shape
    p_short, p_mid = _few(shape) if FEW else (data["p_short"], data["p_mid"])
    win = 0.5 + 0.1 * (score(p_short, p_mid) - 0.5)
    value = _traded_value(data)
    sessions = pd.bdate_range("1900-01-01", periods=shape[0])
    symbols = tuple(f"S{i:04d}" for i in range(shape[1]))
    columns = {"close": close, "p_short": p_short, "p_mid": p_mid, "adv": value}
    columns |= {"short_raw": p_short, "mid_raw": p_mid, "median_value": value}
    columns |= {"win_long": win, "win_short": 1.0 - win, "sentiment": np.full(shape, np.nan)}
    columns |= {name: data[name] for name in ("atr", "annual_volatility")}
    columns["daily_volatility"] = data["annual_volatility"] / np.sqrt(252.0)
    facts: dict[str, Any] = {"volatility_zscore": 0.0, "correlation": 0.5, "correlation_floor": 0.0}
    facts |= {"trend_strength": 0.0, "regime": "range"}
    prices = [np.nan_to_num(data[name]) * SCALE for name in ("open", "high", "low", "close")]
    whole = np.rint(np.stack([*prices, np.nan_to_num(data["volume"])])).astype(np.int64)
    last = pd.DataFrame(np.where(whole[3] > 0, whole[3], np.nan)).ffill().fillna(0)
    returns = np.full(shape, np.nan, order="F")
    returns[1:] = close[1:] / close[:-1] - 1.0
    return Panel(
        sessions=sessions,
        ordinals=np.arange(shape[0], dtype=np.int64),
        symbols=symbols,
        instruments={
            s: Instrument(s, Bucket.CORE, "USD", tick=SCALE // 100, margin_rate=1.0)
            for s in symbols
        },
        prices=whole,
        present=whole[3] > 0,
        last=last.to_numpy(np.int64),
        columns=columns,
        facts=pd.DataFrame(facts, index=sessions),
        returns=returns,
        excluded={},
        currency="USD",
    )


def _few(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Convictions of both predictors: nothing to say but of a few names each session."""
    view = np.where(np.random.default_rng(SEED).random(shape) < SHARE, VIEW, 0.5)
    return view, view


def _traded_value(data: Data, sessions: int = 20) -> np.ndarray:
    """Mean traded value over the last sessions; NaN while there are fewer."""
    sums = np.cumsum(np.nan_to_num(data["close"] * data["volume"]), axis=0)
    sums[sessions:] = sums[sessions:] - sums[:-sessions]
    sums[:sessions] = np.nan
    sums /= sessions
    return sums


if __name__ == "__main__":
    measured(run, what=what, prepare=panel_of, within_ms=lambda: within(took))
