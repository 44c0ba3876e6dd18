"""A stranger's feature function, called with care, and the futures it is called on.

A feature function takes bars (symbol, session and columns of its own; one row a symbol and
session) and returns a row for every bar: symbol, session and numeric columns, NaN where a value
isn't known. It may order its rows as it likes. Stamps of as-of joins may stand beside the
features: a column `available_at`, or `<feature>_available_at`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.errors import UsageError

Floats = NDArray[np.float64]
Function = Callable[[pd.DataFrame], pd.DataFrame]
KEYS = ["symbol", "session"]
# Rounding, not information: a part of the column's spread, and the last bits of the value itself.
# Nothing is granted for a value's size or an outlier, behind which a leak could hide.
SPREAD, BITS = 1e-9, 8 * float(np.finfo(np.float64).eps)
STAMP = "available_at"
PRICES = ("open", "high", "low", "close")
CONTRACT = (
    "Return one row for every bar given, with symbol, session and numeric feature columns;"
    " NaN where a value isn't known."
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a function returned, in the order of the bars it was given.

    Attributes
    ----------
    names : tuple of str
        Its features.
    values : ndarray, shape (rows, features)
    stamps : DataFrame, shape (rows, k)
        Its columns of stamps, by their names.
    """

    names: tuple[str, ...]
    values: Floats
    stamps: pd.DataFrame


def ready_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """A copy of bars in the order of symbol and session, with a RangeIndex.

    Raises
    ------
    UsageError
        Without rows or keys, for a key that is missing or comes twice, for sessions that aren't
        datetimes.
    """
    missing = [name for name in KEYS if name not in bars.columns]
    if missing:
        raise UsageError(f"the bars have no column {', '.join(missing)}")
    if not len(bars):
        raise UsageError("there are no bars to compute features of")
    if not pd.api.types.is_datetime64_any_dtype(bars["session"]):
        raise UsageError(f"session holds {bars['session'].dtype}, not datetimes")
    if bars[KEYS].isna().any(axis=None):
        raise UsageError("a bar has no symbol or no session")
    if bars.duplicated(KEYS).any():
        raise UsageError("a symbol has two bars in one session")
    return bars.sort_values(KEYS, ignore_index=True)


def call(function: Function, bars: pd.DataFrame, *, on: str) -> Found:
    """What the function says of these bars; it gets a copy of its own.

    Parameters
    ----------
    on : str
        Which data these are, for an error's sentence.

    Raises
    ------
    UsageError
        When the function raises, or doesn't keep its contract: what, on which data.
    """
    try:
        out = function(bars.copy())
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"on {on} the feature function raised {type(error).__name__}: {error}",
            remedy="A feature function must bear any history, short ones too.",
        ) from error
    aligned = _aligned(out, bars, on)
    stamps = [c for c in aligned.columns if c == STAMP or c.endswith(f"_{STAMP}")]
    names = [c for c in aligned.columns if c not in stamps]
    if not names:
        raise UsageError(f"on {on} the function returned no feature", remedy=CONTRACT)
    features = aligned[names]
    if any(kind != np.float64 for kind in features.dtypes):
        features = pd.DataFrame({name: _numbers(aligned[name], name, on) for name in names})
    return Found(tuple(names), features.to_numpy(np.float64), aligned[stamps])


def _aligned(out: object, bars: pd.DataFrame, on: str) -> pd.DataFrame:
    """Columns beside the keys, in the order of the bars."""
    if not isinstance(out, pd.DataFrame):
        raise UsageError(f"on {on} the function returned {type(out).__name__}", remedy=CONTRACT)
    if not out.columns.is_unique or any(not isinstance(c, str) for c in out.columns):
        raise UsageError(f"on {on} column names aren't distinct texts", remedy=CONTRACT)
    missing = [name for name in KEYS if name not in out.columns]
    if missing:
        raise UsageError(f"on {on} its rows have no {' and no '.join(missing)}", remedy=CONTRACT)
    if len(out) == len(bars) and all(
        np.array_equal(out[k].to_numpy(), bars[k].to_numpy()) for k in KEYS
    ):
        return out.drop(columns=KEYS).reset_index(drop=True)
    wanted = pd.MultiIndex.from_frame(bars[KEYS])
    keys = pd.MultiIndex.from_frame(out[KEYS])
    if not keys.is_unique or len(keys) != len(wanted):
        twice = "" if keys.is_unique else ", some of them twice"
        raise UsageError(
            f"on {on} the function returned {len(keys)} rows{twice}; the bars have {len(wanted)}",
            remedy=CONTRACT,
        )
    order = keys.get_indexer(wanted)
    if (order < 0).any():
        first = bars[KEYS].iloc[int(np.argmax(order < 0))]
        where = f"{first['symbol']} on {first['session']:%Y-%m-%d}"
        raise UsageError(f"on {on} the function returned no row for {where}", remedy=CONTRACT)
    return out.drop(columns=KEYS).iloc[order].reset_index(drop=True)


def _numbers(column: pd.Series[float], name: str, on: str) -> Floats:
    kind = column.dtype
    numeric = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
    if not numeric:
        raise UsageError(f"on {on} {name} holds {kind}, not numbers", remedy=CONTRACT)
    return np.asarray(column.to_numpy(np.float64, na_value=np.nan), np.float64)


def differences(one: Floats, two: Floats, allowed: Floats) -> NDArray[np.bool_]:
    """Where two values aren't the same but for rounding; NaN equals NaN, infinity itself.

    Parameters
    ----------
    one, two : ndarray, shape (rows, features)
    allowed : ndarray, shape (features,)
        As `rounding` gives it.
    """
    with np.errstate(invalid="ignore"):
        near = np.isfinite(one) & (np.abs(one - two) <= BITS * np.abs(one) + allowed)
    return np.asarray(~(near | (one == two) | (np.isnan(one) & np.isnan(two))), np.bool_)


def rounding(values: Floats) -> Floats:
    """What may differ in each column: a part of the distance between its quartiles."""
    out = np.zeros(values.shape[1])
    for k in range(values.shape[1]):
        finite = values[np.isfinite(values[:, k]), k]
        if len(finite):
            low, high = np.quantile(finite, [0.25, 0.75])
            out[k] = SPREAD * float(high - low)
    return out


def same_names(found: Found, names: Sequence[str], *, on: str) -> None:
    """Refuse a function whose columns depend on how much data there is."""
    if found.names != tuple(names):
        odd = ", ".join(sorted(set(found.names) ^ set(names))) or "their order"
        raise UsageError(f"on {on} the columns differ from the whole's: {odd}", remedy=CONTRACT)


def with_other_future(
    bars: pd.DataFrame, cut: pd.Timestamp | None, *, rng: np.random.Generator
) -> pd.DataFrame:
    """The bars with everything after `cut` replaced; None replaces all.

    Each symbol's later rows are shuffled whole, so that a bar stays a bar; then prices are scaled
    by about 3 or 1/3, volume and other real numbers by about 2 or 1/2, so that the extremes, the
    mean and the spread of the whole change as well as the order. Other whole numbers are only
    shuffled: scaled, a code would be another code. Keys, texts and stamps stay.

    Parameters
    ----------
    bars : DataFrame
        As `ready_bars` gives them.
    """
    later = np.ones(len(bars), bool) if cut is None else (bars["session"] > cut).to_numpy()
    order, level, factor = np.arange(len(bars)), np.ones(len(bars)), np.ones(len(bars))
    starts = np.flatnonzero(~bars["symbol"].duplicated().to_numpy())
    for first, end in pairwise([*starts.tolist(), len(bars)]):
        ahead = first + np.flatnonzero(later[first:end])
        order[ahead] = rng.permutation(ahead)
        up = rng.choice([-1.0, 1.0], 2)
        level[ahead] = np.exp(up[0] * np.log(3.0) + rng.normal(0.0, 0.05, len(ahead)))
        factor[ahead] = np.exp(up[1] * np.log(2.0) + rng.normal(0.0, 0.05, len(ahead)))
    changed = {}
    for name in bars.columns.difference([*KEYS], sort=False):
        column = bars[name]
        whole = pd.api.types.is_integer_dtype(column.dtype)
        if not whole and not pd.api.types.is_float_dtype(column.dtype):
            continue
        scaled = name in PRICES or name == "volume" or not whole
        by = (level if name in PRICES else factor) if scaled else 1.0
        moved = column.to_numpy(np.float64, na_value=np.nan)[order] * by
        counted = whole and bool(np.isfinite(moved).all())
        changed[name] = np.round(moved).astype(np.int64) if counted else moved
    return bars.assign(**changed)
