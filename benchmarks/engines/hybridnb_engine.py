"""hybridnb's replay of the whole trading step: `compiled` or `plain`."""

from __future__ import annotations

import functools
import sys
import zlib
from typing import Any

import numpy as np
from data import RULE, score

from engines.report import Data, measured

FORM = "plain" if "plain" in sys.argv else "compiled"
WHAT = (
    f"hybridnb replay, {FORM} form, one portfolio with the default policy: the decision (blend, "
    "caps, Kelly, volatility, value at risk, heat, hard clamps), orders at the next open, partial "
    "fills at a share of the volume, stop, target and trailing stop, kill switch and guards, "
    "commission schedule, spread and impact, a log of every order, fill and trade"
)
WINDOW = 252  # sessions behind value at risk
SCALE = 10_000


def tape_of(data: Data) -> Any:
    """The shared bars as a replay takes them, its features given.

    The win probability is a tenth of what the conviction claims; no sentiment, no index.
    """
    from hybridnb.replay.tape import Tape, facts_of

    shape = data["close"].shape
    days = np.arange(shape[0], dtype=np.int64)
    win = 0.5 + 0.1 * (score(data["p_short"], data["p_mid"]) - 0.5)
    value = _traded_value(data)
    facts = {
        "price": data["close"],
        "atr": data["atr"],
        "annual_volatility": data["annual_volatility"],
        "daily_volatility": data["annual_volatility"] / np.sqrt(252.0),
        "adv": value,
        "median_value": value,
        "win_long": win,
        "win_short": 1.0 - win,
    }
    whole = {name: _whole(data[name], SCALE) for name in ("open", "high", "low", "close")}
    returns = np.full(shape[::-1], np.nan)
    returns[:, 1:] = (data["close"][1:] / data["close"][:-1] - 1.0).T
    return Tape(
        days=days,
        ordinals=days,
        **whole,
        volume=_whole(data["volume"], 1),
        p_short=data["p_short"],
        p_mid=data["p_mid"],
        rl=np.full(shape, np.nan),
        sentiment=np.full(shape, np.nan),
        facts=facts_of(facts),
        volatility_z=np.zeros(shape[0]),
        correlation=np.full(shape[0], 0.5),
        correlation_floor=np.zeros(shape[0]),
        crisis=np.zeros(shape[0], np.bool_),
        returns=returns,
        window=WINDOW,
    )


def _whole(values: np.ndarray, scale: int) -> np.ndarray:
    """Integers of 1/scale; 0 where there is no bar."""
    whole: np.ndarray = np.rint(np.nan_to_num(values) * scale).astype(np.int64)
    return whole


def _traded_value(data: Data, sessions: int = 20) -> np.ndarray:
    """Mean traded value over the last sessions; NaN while there are fewer."""
    sums = np.cumsum(np.nan_to_num(data["close"] * data["volume"]), axis=0)
    sums[sessions:] = sums[sessions:] - sums[:-sessions]
    sums[:sessions] = np.nan
    sums /= sessions
    return sums


def names_of(symbols: int) -> Any:
    """Core names in units of one, ticks of 0.01."""
    from hybridnb.decide import INPUT
    from hybridnb.domain import Bucket
    from hybridnb.limits import CODE
    from hybridnb.replay.tape import Names

    whole = functools.partial(np.full, symbols, dtype=np.int64)
    rows = np.zeros(symbols, INPUT)
    rows["bucket"], rows["margin_rate"] = CODE[Bucket.CORE], 1.0
    return Names(
        rows=rows,
        bucket=whole(CODE[Bucket.CORE]),
        multiplier=whole(1),
        tick=whole(SCALE // 100),
        lot=whole(1),
        delta=np.ones(symbols),
        margin_rate=np.ones(symbols),
        key=np.array([zlib.crc32(f"S{i}".encode()) for i in range(symbols)], np.int64),
        fixed=np.zeros((2, symbols), np.int64),
        penny=np.zeros(symbols, np.bool_),
        sip=-1,
    )


@functools.cache
def _sessions(compiled: bool) -> Any:
    """The loop over sessions, or its twin, whose machine code lies in the user's cache."""
    from hybridnb.replay.run import sessions

    if not compiled:
        return sessions
    from platformdirs import user_cache_path

    from hybridnb.replay.compiler import compiled as twin
    from hybridnb.replay.struct import entry

    return entry(twin(sessions, cache=user_cache_path("hybridnb") / "replay"))


def ours(tape: Any, compiled: bool) -> int:
    """Replay a history with the default policy; the number of closed trades."""
    from hybridnb.domain import Mode
    from hybridnb.policy import Policy
    from hybridnb.replay.run import replay, rules

    done = replay(
        tape,
        names_of(tape.close.shape[1]),
        rules(Policy(), Mode.DEMO, verdict_valid=True),
        cash=int(RULE["cash"]) * SCALE,
        run=_sessions(compiled),
    )
    return len(done.trades)


def bytes_of(tape: Any) -> int:
    """Bytes of a tape's arrays, each counted once."""
    arrays = {id(a): a for a in vars(tape).values() if isinstance(a, np.ndarray)}
    return sum(a.nbytes for a in arrays.values())


def run(tape: Any) -> int:
    return ours(tape, FORM == "compiled")


if __name__ == "__main__":
    measured(run, what=WHAT, prepare=tape_of, repeat=FORM == "compiled", input_bytes=bytes_of)
