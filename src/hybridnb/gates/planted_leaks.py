"""Planted truth for the look-ahead audit: honest features, and leaks of every kind, by seed.

A feature is written as a function of `Closes` in wide form (a row a session, a column a symbol),
so that it reads like its formula; `as_function` makes them a feature function of bars.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.lookahead import Audit, audit
from hybridnb.gates.recompute import KEYS, STAMP, Function, ready_bars

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Say = Callable[[str], None]

SESSIONS, SYMBOLS = 300, 3  # of a synthetic history, and of a stretch of a real one
DECIDED = pd.Timedelta(hours=21)  # after midnight UTC: about when a session of New York closes
NEXT, DILUTED = "next-return value", "next-return value under noise"
CENTRED, SCALED, LATE = "centred average", "full-sample scaling", "late stamp"
CLEAN, ALARMS = "clean features passed", "false alarms"
JOINED = ("in_time", "late", "without_stamp", "undeclared")


@dataclass(frozen=True, slots=True)
class Closes:
    """Closing prices, shape (sessions, symbols), and standard normal noise of each.

    The noise belongs to the symbol and the number of its session: it doesn't change when the
    data ends earlier or another symbol isn't there, so that a leak under it is caught for its
    leak.
    """

    price: Floats
    noise: Floats

    @property
    def change(self) -> Floats:
        """Returns over one session; NaN in the first."""
        return self.price / lagged(self.price, 1) - 1.0


Wide = Callable[[Closes], Floats]


def synthetic_bars(seed: int, *, sessions: int = SESSIONS, symbols: int = SYMBOLS) -> pd.DataFrame:
    """Geometric random walks with a common factor: symbol, session, OHLC and volume."""
    rng = np.random.default_rng([seed, 1])
    days = pd.bdate_range("2020-01-02", periods=sessions)
    common = rng.normal(0.0003, 0.008, sessions)
    parts = []
    for k in range(symbols):
        close = 50.0 * np.exp(np.cumsum(common + rng.normal(0.0, 0.012, sessions)))
        opened = close * np.exp(rng.normal(0.0, 0.004, sessions))
        spread = np.exp(np.abs(rng.normal(0.0, 0.006, (2, sessions))))
        parts.append(
            pd.DataFrame(
                {
                    "symbol": f"P{k:02d}",
                    "session": days,
                    "open": opened,
                    "high": np.maximum(opened, close) * spread[0],
                    "low": np.minimum(opened, close) / spread[1],
                    "close": close,
                    "volume": np.round(np.exp(rng.normal(13.0, 0.4, sessions))),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def stretch(bars: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A stretch of real bars: 300 consecutive sessions of up to 3 symbols, drawn by the seed.

    Only symbols that have a close in each of the stretch's sessions are drawn from.

    Raises
    ------
    UsageError
        When the bars are too short, or no symbol is whole in the stretch.
    """
    ready = ready_bars(bars)
    days = np.unique(ready["session"].to_numpy())
    if len(days) < SESSIONS:
        raise UsageError(f"{len(days)} sessions of bars; a stretch has {SESSIONS}")
    rng = np.random.default_rng([seed, 2])
    first = int(rng.integers(len(days) - SESSIONS + 1))
    inside = ready[ready["session"].isin(days[first : first + SESSIONS])]
    whole = inside.groupby("symbol")["close"].count()
    names = sorted(whole.index[whole == SESSIONS])
    if not names:
        raise UsageError(f"no symbol has every close of the {SESSIONS} sessions of a stretch")
    drawn = rng.choice(np.array(names), size=min(SYMBOLS, len(names)), replace=False)
    return inside[inside["symbol"].isin(drawn)].reset_index(drop=True)


def as_function(columns: Mapping[str, Wide], seed: int) -> Function:
    """A feature function of bars, from formulas of closes; the seed is the noise's."""

    def compute(bars: pd.DataFrame) -> pd.DataFrame:
        closes, row, column = _wide(bars, seed)
        with np.errstate(invalid="ignore", divide="ignore"):  # closes that don't move give NaN
            made = {name: wide(closes)[row, column] for name, wide in columns.items()}
        return pd.DataFrame({key: bars[key] for key in KEYS} | made)

    return compute


def clean_features() -> dict[str, Wide]:
    """Honest features: each row needs its own and earlier closes only."""
    return {
        "return_1": lambda c: c.change,
        "return_5": lambda c: c.price / lagged(c.price, 5) - 1.0,
        "lagged_return": lambda c: lagged(c.change, 3),
        "over_average": lambda c: c.price / _moving(c.price, 20, np.mean) - 1.0,
        "volatility": lambda c: _moving(c.change, 20, np.std),
        "over_ewm": lambda c: c.price / _ewm(c.price, 15) - 1.0,
        "ewm_volatility": lambda c: np.sqrt(_ewm(np.nan_to_num(c.change) ** 2, 30)),
        "expanding_z": lambda c: _expanding_z(c.price, 20),
        "rank": lambda c: _rank(c.price / lagged(c.price, 5)),
        "over_peers": lambda c: c.change - c.change.mean(axis=1, keepdims=True),
        "under_peak": lambda c: c.price / _moving(c.price, 50, np.max) - 1.0,
        "band": lambda c: (c.price - _moving(c.price, 20, np.mean)) / _moving(c.price, 20, np.std),
        "return_under_noise": lambda c: c.change + 0.05 * c.noise,
    }


def leaking_features(seed: int) -> dict[str, dict[str, Wide]]:
    """Leaks by kind: how far each looks, and how it hides its end, are drawn by the seed."""
    rng = np.random.default_rng([seed, 3])
    ahead, half, filled = int(rng.integers(1, 6)), int(rng.integers(1, 8)), bool(rng.integers(2))

    def following(c: Closes) -> Floats:
        found = lagged(c.price, -ahead) / c.price - 1.0
        return np.nan_to_num(found) if filled else found

    def average(c: Closes) -> Floats:
        # Where the window isn't whole the plain average of the past stands in for it.
        past = _moving(c.price, half + 1, np.mean)
        whole = lagged(_moving(c.price, 2 * half + 1, np.mean), -half)
        return c.price / (np.where(np.isnan(whole), past, whole) if filled else whole) - 1.0

    return {
        NEXT: {"following_return": following},
        DILUTED: {"following_return_under_noise": lambda c: following(c) + 0.05 * c.noise},
        CENTRED: {"centred_average": average},
        SCALED: {
            "z_of_all": lambda c: (c.price - c.price.mean(axis=0)) / c.price.std(axis=0),
            "min_max_of_all": lambda c: (c.price - c.price.min(axis=0)) / np.ptp(c.price, axis=0),
            "rank_of_all": lambda c: _rank(c.price.T).T,
            "return_over_all": lambda c: c.change / np.nanstd(c.change, axis=0),
        },
    }


def lagged(values: Floats, k: int) -> Floats:
    """Values of k rows before, of later rows where k is negative; NaN beyond the ends."""
    out = np.full_like(values, np.nan)
    n = len(values)
    if abs(k) < n:
        out[max(0, k) : n + min(0, k)] = values[max(0, -k) : n - max(0, k)]
    return out


def _moving(values: Floats, n: int, reduce: Callable[..., Floats]) -> Floats:
    out = np.full_like(values, np.nan)
    if len(values) >= n:
        windows = np.lib.stride_tricks.sliding_window_view(values, n, axis=0)
        out[n - 1 :] = reduce(windows, axis=-1)
    return out


def _ewm(values: Floats, span: int) -> Floats:
    from scipy.signal import lfilter

    alpha = 2.0 / (span + 1.0)
    start = (1.0 - alpha) * values[:1]
    return np.asarray(lfilter([alpha], [1.0, alpha - 1.0], values, axis=0, zi=start)[0], np.float64)


def _expanding_z(values: Floats, least: int) -> Floats:
    count = np.arange(1.0, len(values) + 1.0)[:, None]
    centred = values - values[0]
    mean = np.cumsum(centred, axis=0) / count
    variance = np.cumsum(centred**2, axis=0) / count - mean**2
    variance[: least - 1] = np.nan
    return np.asarray((centred - mean) / np.sqrt(variance), np.float64)


def _rank(values: Floats) -> Floats:
    """Share of a row that is smaller; NaN stays NaN."""
    below = values.argsort(axis=1).argsort(axis=1) / max(1, values.shape[1] - 1)
    return np.where(np.isnan(values), np.nan, below)


def decided_at(session: pd.Timestamp) -> pd.Timestamp:
    """When the planted sessions are decided."""
    return session.tz_localize("UTC") + DECIDED


def with_stamps(function: Function, seed: int) -> Function:
    """Beside the features four joined ones: in time, late, a stamp missing, none at all.

    Of the second and third only one to five rows are wrong, drawn by the seed.
    """

    def compute(bars: pd.DataFrame) -> pd.DataFrame:
        rng = np.random.default_rng([seed, 4])
        closes, row, column = _wide(bars, seed)
        stamp = bars["session"].dt.tz_localize("UTC") + DECIDED - pd.Timedelta(minutes=5)
        wrong = rng.choice(len(bars), size=min(len(bars), int(rng.integers(1, 6))), replace=False)
        late, missing = stamp.copy(), stamp.copy()
        late.iloc[wrong] += pd.Timedelta(minutes=int(rng.integers(6, 2000)))
        missing.iloc[wrong] = pd.NaT
        value = closes.noise[row, column]
        joined = pd.DataFrame(
            dict.fromkeys(JOINED, value)
            | {
                f"{name}_{STAMP}": s
                for name, s in zip(JOINED, (stamp, late, missing), strict=False)
            }
        )
        return function(bars).join(joined)

    return compute


def _wide(bars: pd.DataFrame, seed: int) -> tuple[Closes, Rows, Rows]:
    """Closes of bars in wide form, and the place of each bar in it."""
    sessions, row = np.unique(bars["session"].to_numpy(), return_inverse=True)
    column, names = pd.factorize(bars["symbol"], sort=True)
    price = np.full((len(sessions), len(names)), np.nan)
    price[row, column] = bars["close"].to_numpy(np.float64)
    noise = [
        np.random.default_rng([seed, zlib.crc32(str(name).encode())]).normal(size=len(sessions))
        for name in names
    ]
    return Closes(price, np.column_stack(noise)), row.astype(np.int64), column.astype(np.int64)


def planted_audit(seed: int, bars: pd.DataFrame) -> Audit:
    """One audit of every planted feature, honest and leaking, on these bars."""
    columns = dict(clean_features())
    for leaks in leaking_features(seed).values():
        columns |= leaks
    function = with_stamps(as_function(columns, seed), seed)
    return audit(function, bars, seed=seed, joined=JOINED, decided=decided_at)


def measure_leaks(
    seeds: Sequence[int], bars: pd.DataFrame | None = None, *, say: Say | None = None
) -> dict[str, tuple[int, int]]:
    """How many planted leaks the audit catches, by kind, and how often it alarms on honest ones.

    Parameters
    ----------
    seeds : sequence of int
        Each draws its own history and leaks.
    bars : DataFrame, optional
        Real bars to plant in: each seed takes a stretch of them. Synthetic ones by default.

    Returns
    -------
    dict of str to (int, int)
        (caught, tried) of each kind of leak; `clean features passed` and `false alarms` of the
        honest features, joined ones with good stamps too: (count, tried).
    """
    counts: dict[str, list[int]] = {}
    for number, seed in enumerate(seeds, 1):
        where = synthetic_bars(seed) if bars is None else stretch(bars, seed)
        found = {f.name: f.status for f in planted_audit(seed, where).features}
        for kind, names in _kinds(seed).items():
            wanted = Status.PASS if kind == CLEAN else Status.FAIL
            count = counts.setdefault(kind, [0, 0])
            count[0] += sum(found[name] is wanted for name in names)
            count[1] += len(names)
        if say is not None and (number % 10 == 0 or number == len(seeds)):
            say(f"planted leaks: {number} of {len(seeds)} seeds")
    return {kind: (hits, tried) for kind, (hits, tried) in counts.items()}


def _kinds(seed: int) -> dict[str, list[str]]:
    leaks = {kind: list(columns) for kind, columns in leaking_features(seed).items()}
    clean = [*clean_features(), JOINED[0]]
    return leaks | {LATE: list(JOINED[1:]), CLEAN: clean, ALARMS: clean}
