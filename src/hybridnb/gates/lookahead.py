"""Audit of any feature function: does a value at t need what comes after t?

The function is computed again on the data cut at t, and on the data whose future after t was
replaced by another; every value up to t must be what it was on the whole. The cut alone would
pass a minimum and maximum of the whole history that lie before t, and a function that behaves on
short data only; the other future alone would pass one that asks how long its data is.

What this can't see: a function that reads a future from elsewhere than its argument. So a
feature that doesn't change with the bars at all is not passed on their account; it needs stamps
that say when each value was known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.evidence import Check
from hybridnb.gates.recompute import (
    Floats,
    Found,
    Function,
    call,
    differences,
    ready_bars,
    rounding,
    same_names,
    with_other_future,
)
from hybridnb.gates.stamps import Decided, stamp_checks

CUTS = 50  # with fewer places at which a feature is known there is no evidence
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Feature:
    """What was found of one feature; the fields from `cut` on are of its first difference.

    Attributes
    ----------
    n : int
        Cuts at which the feature was known in some symbol.
    wrong : int
        Cuts at which a value differed.
    cut, symbol, session : str
        The first cut that differed, and the last row up to it that did; empty without one.
    whole, again : float or None
        The row's value on the whole data and when computed again; NaN is a missing value.
    difference : float or None
        Its absolute size; infinite where only one of the two is known.
    """

    name: str
    status: Status
    detail: str
    n: int
    wrong: int = 0
    cut: str = ""
    symbol: str = ""
    session: str = ""
    whole: float | None = None
    again: float | None = None
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """One `Feature` a column, and where it was looked."""

    features: tuple[Feature, ...]
    cuts: tuple[pd.Timestamp, ...]

    @property
    def status(self) -> Status:
        """FAIL if any feature fails, else INSUFFICIENT_EVIDENCE if any lacks evidence."""
        found = {f.status for f in self.features}
        worst = (Status.FAIL, Status.INSUFFICIENT_EVIDENCE)
        return next((s for s in worst if s in found), Status.PASS)

    def checks(self) -> tuple[Check, ...]:
        """As the gates read them: `look-ahead, NAME`; the value is the cuts that differed."""
        return tuple(
            Check(f"look-ahead, {f.name}", f.status, f.detail, f.n, float(f.wrong), 0.0)
            for f in self.features
        )


@dataclass(slots=True)
class _Watch:
    """The whole's values, and what differed from them so far."""

    bars: pd.DataFrame
    found: Found
    allowed: Floats
    wrong: NDArray[np.int64]
    first: dict[int, Feature] = field(default_factory=dict)

    def compare(self, again: Found, rows: NDArray[np.bool_], cut: pd.Timestamp, on: str) -> None:
        """Compare what was computed again for `rows`, the bars up to the cut."""
        same_names(again, self.found.names, on=on)
        one, two = self.found.values[rows], again.values
        differs = differences(one, two, self.allowed)
        places = np.flatnonzero(rows)
        for k in np.flatnonzero(differs.any(axis=0)).tolist():
            self.wrong[k] += 1
            if k in self.first:
                continue
            sessions = self.bars["session"].to_numpy()[places]
            at = max(np.flatnonzero(differs[:, k]).tolist(), key=lambda i: sessions[i])
            a, b = float(one[at, k]), float(two[at, k])
            gap = abs(a - b) if np.isfinite([a, b]).all() else np.inf
            row = self.bars.iloc[int(places[at])]
            self.first[k] = Feature(
                *(self.found.names[k], Status.FAIL, "", 0, 0, f"{cut:%Y-%m-%d}"),
                *(str(row["symbol"]), f"{row['session']:%Y-%m-%d}", a, b, gap),
            )


def audit(
    function: Function,
    bars: pd.DataFrame,
    *,
    seed: int,
    cuts: int = CUTS,
    joined: Sequence[str] = (),
    decided: Decided | pd.Series[pd.Timestamp] | None = None,
    say: Say | None = None,
) -> Audit:
    """Look for the future in every feature that a function returns.

    Parameters
    ----------
    function : callable
        Of a DataFrame of bars: symbol, session, feature columns, a row for every bar, NaN where
        a value isn't known. Columns `available_at` or `<feature>_available_at` are stamps.
    bars : DataFrame
        symbol, session (datetimes) and columns of any kind; the function gets copies.
    seed : int
        Of the places of the cuts and of the other futures.
    cuts : int
        How many sessions to cut at, spread over the history in which features are known.
    joined : sequence of str
        Features taken from other tables: without a stamp column they are refused.
    decided : callable or Series, optional
        The decision's time, with a zone, of a session; a Series is indexed by session.
    say : callable, optional
        Is told how far it is.

    Returns
    -------
    Audit
        A feature fails at its first difference, or by a late stamp. It has not enough evidence
        where fewer than 50 cuts know it, where it never moves, or where it doesn't depend on the
        bars and has no stamps.

    Raises
    ------
    UsageError
        For bars that can't be used, and for a function that raises, isn't deterministic, or
        breaks its contract.
    """
    whole = ready_bars(bars)
    found = call(function, whole, on="the whole data")
    if unknown := sorted(set(joined) - set(found.names)):
        raise UsageError(f"declared as joined, but not returned: {', '.join(unknown)}")
    watch = _Watch(whole, found, rounding(found.values), np.zeros(len(found.names), np.int64))
    _repeats(function, watch)
    rng = np.random.default_rng(seed)
    other = call(function, with_other_future(whole, None, rng=rng), on="other prices")
    same_names(other, found.names, on="other prices")
    moved = np.any(differences(found.values, other.values, watch.allowed), axis=0)
    chosen = _cuts(whole, found.values, cuts, rng)
    for number, cut in enumerate(chosen, 1):
        _look(function, watch, cut, rng)
        if say is not None and number % 10 == 0:
            say(f"cut {number} of {len(chosen)}, {cut:%Y-%m-%d}")
    stamped = stamp_checks(found, whole["session"], joined=joined, decided=decided)
    return Audit(_concluded(watch, stamped, chosen, moved), tuple(chosen))


def _repeats(function: Function, watch: _Watch) -> None:
    again = call(function, watch.bars, on="the whole data, a second time")
    same_names(again, watch.found.names, on="the whole data, a second time")
    differs = np.any(differences(watch.found.values, again.values, watch.allowed), axis=0)
    if differs.any():
        odd = ", ".join(n for n, d in zip(watch.found.names, differs, strict=True) if d)
        raise UsageError(
            f"computed twice on the same data, {odd} came out differently: nothing can be said"
            " of what isn't deterministic",
            remedy="Seed its chance, and keep no state between calls.",
        )


def _cuts(
    bars: pd.DataFrame, values: Floats, cuts: int, rng: np.random.Generator
) -> list[pd.Timestamp]:
    """One session drawn of each of `cuts` equal stretches of the usable history.

    Usable from where every feature is known that ever is, if that leaves enough sessions, or
    else from where the first is; up to the last session but one, as the last has no future.
    """
    sessions, code = np.unique(bars["session"].to_numpy(), return_inverse=True)
    starts = [int(code[np.isfinite(v)].min()) for v in values.T if np.isfinite(v).any()]
    if cuts < 1 or not starts:
        return []
    end = len(sessions) - 1
    first = max(starts) if end - max(starts) >= cuts else min(starts)
    edges = np.linspace(first, max(first, end), min(cuts, max(0, end - first)) + 1).astype(int)
    drawn = [int(rng.integers(a, b)) for a, b in pairwise(edges)]
    return [pd.Timestamp(sessions[i]) for i in drawn]


def _look(function: Function, watch: _Watch, cut: pd.Timestamp, rng: np.random.Generator) -> None:
    """Compute the features again at one cut, without a future and with another one."""
    rows = (watch.bars["session"] <= cut).to_numpy()
    before = watch.wrong.copy()
    on = f"data cut at {cut:%Y-%m-%d}"
    short = watch.bars[rows].reset_index(drop=True)
    watch.compare(call(function, short, on=on), rows, cut, on)
    on = f"data with another future after {cut:%Y-%m-%d}"
    other = call(function, with_other_future(watch.bars, cut, rng=rng), on=on)
    watch.compare(Found(other.names, other.values[rows], other.stamps), rows, cut, on)
    watch.wrong = np.minimum(watch.wrong, before + 1)


def _evidence(
    watch: _Watch, cuts: Sequence[pd.Timestamp]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """At how many cuts each feature is known, and whether it moves over them in some symbol."""
    at = watch.bars["session"].isin(list(cuts)).to_numpy()
    frame = pd.DataFrame(watch.found.values[at]).where(np.isfinite(watch.found.values[at]))
    known = frame.notna().groupby(watch.bars["session"][at].to_numpy()).any().sum()
    varied = (frame.groupby(watch.bars["symbol"][at].to_numpy()).nunique() > 1).any()
    return known.to_numpy(np.int64), varied.to_numpy(np.bool_)


def _concluded(
    watch: _Watch,
    stamped: Mapping[str, Check],
    cuts: Sequence[pd.Timestamp],
    moved: NDArray[np.bool_],
) -> tuple[Feature, ...]:
    known, varied = _evidence(watch, cuts)
    return tuple(
        _conclude(
            *(watch, k, stamped.get(name)),
            known=int(known[k]),
            varied=bool(varied[k]),
            moved=bool(moved[k]),
        )
        for k, name in enumerate(watch.found.names)
    )


def _conclude(
    watch: _Watch, k: int, stamp: Check | None, *, known: int, varied: bool, moved: bool
) -> Feature:
    name, wrong = watch.found.names[k], int(watch.wrong[k])
    if wrong:
        first = watch.first[k]
        detail = (
            f"looks ahead: at {first.symbol} on {first.session} {_shown(first.whole)} on the whole,"
            f" {_shown(first.again)} without the future after {first.cut}"
        )
        return replace(first, detail=detail, n=known, wrong=wrong)
    if stamp is not None and stamp.status is not Status.PASS:
        return Feature(name, stamp.status, stamp.detail, known)
    why = ""
    if known < CUTS:
        why = f"known at {known} cuts, {CUTS} needed"
    elif not varied:
        why = "constant at the cuts: nothing could have differed"
    elif not moved and stamp is None:
        why = "doesn't depend on the bars: other bars change nothing, and it has no stamps"
    if why:
        return Feature(name, Status.INSUFFICIENT_EVIDENCE, f"not enough evidence: {why}", known)
    as_of = "" if stamp is None else "; every stamp is in time"
    return Feature(name, Status.PASS, f"the same without the future at {known} cuts{as_of}", known)


def _shown(value: float | None) -> str:
    return "missing" if value is None or np.isnan(value) else f"{value:.6g}"
