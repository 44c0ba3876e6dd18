"""Five checks for leakage: each says what it looked at and what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.domain import Status
from hybridnb.gates.evidence import Check

CUTS = 50  # places at which features are computed again
Floats = NDArray[np.float64]


def _check(name: str, *, wrong: int, n: int, detail: str, least: int = 1) -> Check:
    if n < least:
        why = f"{n} to look at, {least} needed"
        return Check(name, Status.INSUFFICIENT_EVIDENCE, why, n)
    return Check(name, Status.FAIL if wrong else Status.PASS, detail, n, float(wrong), 0.0)


def time_order(bars: pd.DataFrame) -> Check:
    """Sessions increase strictly within each symbol; a row without a session is out of order."""
    steps = bars.groupby("symbol", sort=False)["session"].diff()
    wrong = int(((steps <= pd.Timedelta(0)) | bars["session"].isna()).sum())
    return _check("time order", wrong=wrong, n=len(bars), detail=f"{wrong} rows out of order")


def windowing(
    compute: Callable[[pd.Timestamp], pd.DataFrame], full: pd.DataFrame, *, cuts: int = CUTS
) -> Check:
    """Features computed on data cut at t have the same values at t as on the whole.

    Parameters
    ----------
    compute : callable
        The features of the data up to a session.
    full : DataFrame
        symbol, session and features of the whole; cuts are spread over its later half.
    cuts : int
        Sessions to cut at; with fewer than `CUTS` there is no evidence.
    """
    sessions = np.sort(full["session"].unique())
    late = sessions[len(sessions) // 2 :]
    chosen = late[np.unique(np.linspace(0, len(late) - 1, cuts).astype(int))]
    names = [c for c in full.columns if c not in ("symbol", "session")]
    wrong: set[str] = set()
    for cut in chosen:
        stamp = pd.Timestamp(cut)
        old = compute(stamp)
        old = old[old["session"] == stamp].set_index("symbol")[names].sort_index()
        new = full[full["session"] == stamp].set_index("symbol")[names].sort_index()
        if not old.index.equals(new.index):
            return _check("windowing", wrong=1, n=len(chosen), detail="rows differ", least=CUTS)
        same = np.isclose(old, new, rtol=1e-9, atol=1e-12, equal_nan=True)
        wrong |= {names[i] for i in np.flatnonzero(~same.all(axis=0))}
    detail = f"looks ahead: {', '.join(sorted(wrong))}" if wrong else "every value is as of its row"
    return _check("windowing", wrong=len(wrong), n=len(chosen), detail=detail, least=CUTS)


def label_alignment(keys: pd.DataFrame, labels: Floats, horizon: int) -> Check:
    """A label of k steps is missing in the last k rows of each symbol."""
    last = keys.groupby("symbol", sort=False).cumcount(ascending=False).to_numpy() < horizon
    wrong = int(np.isfinite(labels[last]).sum())
    detail = f"{wrong} labels where the outcome can't be known"
    return _check("label alignment", wrong=wrong, n=int(last.sum()), detail=detail)


def cut_off(folds: Sequence[tuple[int, int]], *, horizon: int, embargo: int) -> Check:
    """Each training ends at least horizon + embargo sessions before its test.

    Parameters
    ----------
    folds : sequence of (train_end, test_start)
        Session numbers; the training's last session is train_end − 1.
    """
    wrong = sum(start - end < horizon + embargo for end, start in folds)
    detail = f"{wrong} folds closer than {horizon} + {embargo} sessions"
    return _check("cut-off", wrong=wrong, n=len(folds), detail=detail)


def scaling(fitted: Sequence[Floats], train: Sequence[Floats]) -> Check:
    """What a model was standardised by is what its training rows give."""
    wrong = sum(
        not np.allclose(f, t, rtol=1e-9, atol=1e-12) for f, t in zip(fitted, train, strict=True)
    )
    return _check("scaling", wrong=wrong, n=len(fitted), detail=f"{wrong} fitted on other rows")


def available_at(stamps: pd.Series[pd.Timestamp], decided: pd.Series[pd.Timestamp]) -> Check:
    """Every joined fact was available when it was used; one without a stamp counts as late."""
    wrong = int((stamps.isna() | decided.isna() | (stamps > decided)).sum())
    return _check("available_at", wrong=wrong, n=len(stamps), detail=f"{wrong} joined too early")


def lag_zero(
    name: str, feature: Floats, label: Floats, *, seed: int, block: int, shuffles: int = 200
) -> Check:
    """Correlation of a feature with the label of the same row, against its permutation band.

    Only ever a warning: an honest predictor has one too.

    Parameters
    ----------
    feature, label : ndarray, shape (n,)
        In time order; rows in which either is NaN are left out.
    seed : int
        Of the shuffles.
    block : int
        Rows that are shuffled together: what a label overlaps with its neighbours, or more.

    Returns
    -------
    Check
        PASS with the correlation, its 99 % band and "a warning" where it lies outside;
        INSUFFICIENT_EVIDENCE below 250 rows, below ten blocks, or without variation.
    """
    called = f"lag-0 correlation, {name}"
    known = np.isfinite(feature) & np.isfinite(label)
    x, y = feature[known], label[known]
    n = len(x)
    if n < 250 or n < 10 * block or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        why = f"{n} rows in blocks of {block}: too few, or nothing varies"
        return Check(called, Status.INSUFFICIENT_EVIDENCE, why, n)
    rng = np.random.default_rng(seed)
    blocks = np.array_split(np.arange(n), n // block)
    drawn = [
        y[np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])]
        for _ in range(shuffles)
    ]
    found = abs(float(np.corrcoef(x, y)[0, 1]))
    band = float(np.quantile([abs(np.corrcoef(x, d)[0, 1]) for d in drawn], 0.99))
    said = "a warning: beyond" if found > band else "within"
    detail = f"{found:.3f} is {said} its band of {band:.3f}"
    return Check(called, Status.PASS, detail, n, found, None)
