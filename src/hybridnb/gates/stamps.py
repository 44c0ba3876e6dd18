"""Stamps of as-of joins: every joined value was available when its session was decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from hybridnb.domain import Status
from hybridnb.gates.evidence import Check
from hybridnb.gates.recompute import STAMP, Found

Decided = Callable[[pd.Timestamp], pd.Timestamp]


def stamp_checks(
    found: Found,
    sessions: pd.Series[pd.Timestamp],
    *,
    joined: Sequence[str] = (),
    decided: Decided | pd.Series[pd.Timestamp] | None = None,
) -> dict[str, Check]:
    """One check a feature that is joined, or stamped; others aren't named.

    Parameters
    ----------
    found : Found
        Features and stamp columns, a row a bar. `<feature>_available_at` is the stamp of one
        feature; `available_at` is that of the joined ones, or of all where none is declared.
    sessions : Series, shape (rows,)
        The bars' sessions.
    joined : sequence of str
        Features that need a stamp.
    decided : callable or Series, optional
        The decision's time, with a zone, of a session; a Series is indexed by session.

    Returns
    -------
    dict of str to Check
        FAIL where a value is known without a stamp, or its stamp is later than the decision;
        a missing value needs no stamp. INSUFFICIENT_EVIDENCE where nothing can be compared.
    """
    columns = {}
    for name in found.names:
        own = f"{name}_{STAMP}"
        common = STAMP in found.stamps and (name in joined or not joined)
        if own in found.stamps or common or name in joined:
            columns[name] = own if own in found.stamps else STAMP
    if not columns:
        return {}
    times = None if decided is None else _times(sessions, decided)
    return {name: _check(name, column, found, sessions, times) for name, column in columns.items()}


def _times(
    sessions: pd.Series[pd.Timestamp], decided: Decided | pd.Series[pd.Timestamp]
) -> pd.Series[pd.Timestamp]:
    """The decision's time of every row, in UTC; NaT where none is known."""
    each = {s: _time(decided, s) for s in map(pd.Timestamp, sessions.unique())}
    return pd.to_datetime(sessions.map(each), utc=True)


def _time(decided: Decided | pd.Series[pd.Timestamp], session: pd.Timestamp) -> object:
    if callable(decided):
        return decided(session)
    return decided[session] if session in decided.index else pd.NaT


def _check(
    feature: str,
    column: str,
    found: Found,
    sessions: pd.Series[pd.Timestamp],
    times: pd.Series[pd.Timestamp] | None,
) -> Check:
    name, known = (
        f"available_at, {feature}",
        np.isfinite(found.values[:, found.names.index(feature)]),
    )
    n = int(known.sum())
    if column not in found.stamps:
        return Check(name, Status.FAIL, f"refused: joined without {feature}_{STAMP}", n)
    stamps = found.stamps[column]
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype):
        return Check(name, Status.FAIL, f"refused: {column} has no time zone ({stamps.dtype})", n)
    if times is None or n == 0:
        why = "no value is known" if times is not None else "no decision times were given"
        return Check(name, Status.INSUFFICIENT_EVIDENCE, why, n)
    late = known & (stamps.isna() | times.isna() | (stamps > times)).to_numpy()
    if not late.any():
        return Check(name, Status.PASS, "every value was available when decided", n, 0.0, 0.0)
    first = int(np.flatnonzero(late)[0])
    stamp = "missing" if pd.isna(stamps.iloc[first]) else f"{stamps.iloc[first]}"
    detail = (
        f"late stamp: {int(late.sum())} of {n} values, first on {sessions.iloc[first]:%Y-%m-%d}:"
        f" {column} {stamp}, decided {times.iloc[first]}"
    )
    return Check(name, Status.FAIL, detail, n, float(late.sum()), 0.0)
