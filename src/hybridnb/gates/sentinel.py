"""The sentinel: a pipeline must find nothing where there is nothing, and something where there is.

Labels and the forward returns that belong to them are shuffled together, away from the features,
and the whole pipeline is fitted anew and scored out of fold. What it still finds, it can only
have taken from the labels it is tested on: by peeking at them, by choosing features or scaling
with the rows of the test. Then the true labels are planted among the features, under noise: a
test that doesn't fire on that has no power, and its silence on the rest says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.evidence import Check
from hybridnb.gates.shuffling import Grid, make_grid, shuffled
from hybridnb.metrics import sharpe

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Pipeline = Callable[[Floats, Floats, Rows, Rows], Floats]
Say = Callable[[str], None]

NAMES = ("permutation test", "planted leak")
SHUFFLES = 200
ROWS = 250  # usable rows, below which nothing is said
BLOCKS = 10  # fewer blocks have too few arrangements
NORMAL_99 = 2.3263478740408408  # one-sided 99 % quantile of the standard normal
FIRES = 0.01  # p-value at or below which the planted leak is found
STILL = "the pipeline's outputs don't move"
QUIET = 0.1  # annual Sharpe ratio of shuffled labels that is called noise; reported, not binding


@dataclass(frozen=True, slots=True)
class Material:
    """What a pipeline is tested on; every array has one entry a row.

    Attributes
    ----------
    features : ndarray, shape (n, k)
    labels, forward : ndarray, shape (n,)
        What is learned, and the return that a position of the row earns over its horizon.
    sessions : ndarray, shape (n,)
        Anything that sorts by time; equal entries are one session.
    symbols : ndarray, shape (n,), or None
        Which of the session's names a row is; None for one row a session.
    folds : sequence of (train rows, test rows)
    horizon : int
        Sessions over which a label looks ahead.

    Rows in which anything isn't finite are left out of every fold.
    """

    features: Floats
    labels: Floats
    forward: Floats
    sessions: NDArray[np.generic]
    folds: Sequence[tuple[Rows, Rows]]
    symbols: NDArray[np.generic] | None = None
    horizon: int = 1


def sentinel(
    pipeline: Pipeline,
    given: Material,
    *,
    seed: int,
    shuffles: int = SHUFFLES,
    noise: float = 1.0,
    say: Say | None = None,
) -> tuple[Check, Check]:
    """Test a pipeline on shuffled labels and on a planted leak.

    Parameters
    ----------
    pipeline : callable
        `fit_predict(features, labels, train_rows, test_rows)`, one output for every test row,
        larger where it expects a higher return; it gets copies.
    given : Material
    seed : int
        Of the shuffles and of the planted noise.
    shuffles : int
        Fewer than 200 are no evidence.
    noise : float
        Standard deviation of the planted leak's noise, in those of the labels.

    Returns
    -------
    tuple of Check
        `permutation test` passes while the mean annual Sharpe ratio of the shuffles isn't above
        its 99 % bound. `planted leak` passes when the same test finds the planted labels with
        p ≤ 0.01, p = (r + 1)/(n + 1) for r of n shuffles that do as well (Phipson and Smyth,
        2010). Both lack evidence for too few rows, shuffles or blocks of sessions, labels of one
        class, constant features, and a pipeline whose outputs never move.

    Raises
    ------
    UsageError
        For arrays that don't fit each other, a fold that trains on what it tests, and a pipeline
        that raises or returns something else than a number a test row.
    """
    data = _checked(given)
    usable = _usable(data)
    grid = make_grid(data.sessions, data.symbols, usable, horizon=data.horizon)
    why = _lacking(data, usable, grid, shuffles)
    if why:
        return _without(why, shuffles)
    orders = [shuffled(grid, np.random.default_rng([seed, 1, i])) for i in range(shuffles)]
    null = _scores(pipeline, data, orders, what="shuffled labels", say=say)
    real = _score(pipeline, data, _in_order(usable))
    if not np.isfinite([*null, real]).all():
        return _without(STILL, shuffles)
    quiet = _permutation(null, real)
    seen = replace(data, features=_planted(data, usable, noise, seed))
    told = _scores(pipeline, seen, orders, what="planted leak", say=say)
    found = _score(pipeline, seen, _in_order(usable))
    return quiet, _planted_leak(told, found, noise)


def ridge(features: Floats, labels: Floats, train: Rows, test: Rows) -> Floats:
    """The probe: ridge regression on features standardised by their training rows only.

    The closed form of scikit-learn's `Ridge(alpha=0.01 * len(train))` on standardised columns:
    thousands of fits have no time for an estimator's checks.
    """
    known = features[train]
    mean = known.mean(axis=0)
    spread = known.std(axis=0)
    spread[spread == 0.0] = 1.0
    known = (known - mean) / spread
    level = float(labels[train].mean())
    gram = known.T @ known + 0.01 * len(train) * np.eye(known.shape[1])
    weights = np.linalg.solve(gram, known.T @ (labels[train] - level))
    return np.asarray(((features[test] - mean) / spread) @ weights + level, np.float64)


def _permutation(null: Floats, real: float) -> Check:
    """Quiet while the shuffles' mean stays within the error of a mean that is zero."""
    mean, n = float(null.mean()), len(null)
    bound = NORMAL_99 * float(null.std(ddof=1)) / math.sqrt(n)
    status = Status.FAIL if mean > bound else Status.PASS
    detail = (
        f"mean Sharpe of {n} shuffles {mean:.3f}, 99 % bound {bound:.3f}"
        f" ({'below' if mean < QUIET else 'not below'} {QUIET:g});"
        f" true labels {real:.2f}, p {_p_value(null, real):.4f}"
    )
    return Check(NAMES[0], status, detail, n, mean, bound)


def _planted_leak(null: Floats, real: float, noise: float) -> Check:
    p, n = _p_value(null, real), len(null)
    if not np.isfinite([*null, real]).all():  # NaN is above nothing: it would look like a find
        return Check(NAMES[1], Status.INSUFFICIENT_EVIDENCE, STILL, n)
    detail = (
        f"labels planted under noise of {noise:g} σ: Sharpe {real:.2f}, p {p:.4f}"
        f" of {n} shuffles; " + ("it fires" if p <= FIRES else "the test has no power here")
    )
    return Check(NAMES[1], Status.PASS if p <= FIRES else Status.FAIL, detail, n, p, FIRES)


def _p_value(null: Floats, real: float) -> float:
    return (int((null >= real).sum()) + 1) / (len(null) + 1)


def _without(why: str, n: int) -> tuple[Check, Check]:
    first, second = (Check(name, Status.INSUFFICIENT_EVIDENCE, why, n) for name in NAMES)
    return first, second


def _checked(given: Material) -> Material:
    """The same with the types that are computed on."""
    features = np.array(given.features, np.float64)
    if features.ndim != 2:
        raise UsageError(f"features have the shape {features.shape}; (rows, features) is needed")
    n = len(features)
    labels, forward = np.array(given.labels, np.float64), np.array(given.forward, np.float64)
    sessions = np.asarray(given.sessions)
    symbols = np.zeros(n, np.int64) if given.symbols is None else np.asarray(given.symbols)
    columns = {"labels": labels, "forward": forward, "sessions": sessions, "symbols": symbols}
    for name, array in columns.items():
        if array.shape != (n,):
            raise UsageError(f"{name} have the shape {array.shape}; the features have {n} rows")
    folds = [(np.asarray(a, np.int64), np.asarray(b, np.int64)) for a, b in given.folds]
    for train, test in folds:
        both = np.concatenate([train, test])
        if len(both) and (both.min() < 0 or both.max() >= n):
            raise UsageError(f"a fold names a row outside the {n} given")
        if len(np.intersect1d(train, test)):
            raise UsageError("a fold trains on rows that it tests")
    if given.horizon < 1:
        raise UsageError(f"a label's horizon is at least 1, not {given.horizon}")
    return Material(features, labels, forward, sessions, folds, symbols, given.horizon)


def _usable(data: Material) -> NDArray[np.bool_]:
    finite = np.isfinite(data.features).all(axis=1)
    return np.asarray(finite & np.isfinite(data.labels) & np.isfinite(data.forward))


def _lacking(data: Material, usable: NDArray[np.bool_], grid: Grid, shuffles: int) -> str:
    """Why nothing can be said; empty where something can."""
    rows, blocks = int(usable.sum()), len(grid.row) // grid.block
    if shuffles < SHUFFLES:
        return f"{shuffles} shuffles, {SHUFFLES} needed"
    if rows < ROWS:
        return f"{rows} usable rows, {ROWS} needed"
    if blocks < BLOCKS:
        return f"{blocks} blocks of {grid.block} sessions, {BLOCKS} needed"
    if np.ptp(data.labels[usable]) == 0.0 or np.ptp(data.forward[usable]) == 0.0:
        return "the labels or the returns are all the same"
    if (np.ptp(data.features[usable], axis=0) == 0.0).all():
        return "every feature is constant"
    if not any(usable[train].any() and usable[test].any() for train, test in data.folds):
        return "no fold has rows to train on and to test"
    return ""


def _in_order(usable: NDArray[np.bool_]) -> Rows:
    """Every usable row has its own label; −1 leaves a row out."""
    return np.where(usable, np.arange(len(usable)), -1).astype(np.int64)


def _scores(
    pipeline: Pipeline, data: Material, orders: Sequence[Rows], *, what: str, say: Say | None
) -> Floats:
    out = np.empty(len(orders))
    for i, order in enumerate(orders):
        out[i] = _score(pipeline, data, order)
        if say is not None and (i + 1) % 50 == 0:
            say(f"{what}: {i + 1} of {len(orders)} shuffles")
    return out


def _score(pipeline: Pipeline, data: Material, source: Rows) -> float:
    """Annual Sharpe ratio, out of fold, of a position that follows the outputs.

    The position is the output standardised within its test, the return is taken from its name's
    mean there: neither a rising market nor a name that rose before and after is skill. NaN where
    no output ever moves. The pipeline gets the kept rows only, none without a label.
    """
    kept = np.flatnonzero(source >= 0)
    number = np.full(len(source), -1, np.int64)
    number[kept] = np.arange(len(kept))
    features, labels = data.features[kept], data.labels[source[kept]]
    returns, symbols = data.forward[source[kept]], np.asarray(data.symbols)[kept]
    _, session = np.unique(data.sessions[kept], return_inverse=True)
    gained, count = np.zeros(int(session.max()) + 1), np.zeros(int(session.max()) + 1)
    for train, test in data.folds:
        a, b = number[train], number[test]
        a, b = a[a >= 0], b[b >= 0]
        if not len(a) or not len(b):
            continue
        position = _position(_outputs(pipeline, features, labels, a, b))
        np.add.at(gained, session[b], position * _centred(returns[b], symbols[b]))
        np.add.at(count, session[b], 1.0)
    tested = count > 0.0
    return sharpe(gained[tested] / count[tested]) / math.sqrt(data.horizon)


def _centred(returns: Floats, symbols: NDArray[np.generic]) -> Floats:
    """Returns without the mean of each name: a shuffle of sessions leaves a name its own."""
    _, at = np.unique(symbols, return_inverse=True)
    return np.asarray(returns - (np.bincount(at, returns) / np.bincount(at))[at], np.float64)


def _outputs(
    pipeline: Pipeline, features: Floats, labels: Floats, train: Rows, test: Rows
) -> Floats:
    try:
        out = pipeline(features.copy(), labels.copy(), train.copy(), test.copy())
    except Exception as error:
        raise UsageError(f"the pipeline raised {type(error).__name__}: {error}") from error
    found = np.asarray(out, np.float64)
    if found.shape != test.shape:
        raise UsageError(f"the pipeline returned {found.shape} for {len(test)} test rows")
    return found


def _position(out: Floats) -> Floats:
    """Outputs with mean 0 and deviation 1; nothing where one isn't finite, or none moves."""
    known = np.isfinite(out)
    position, some = np.zeros(len(out)), out[known]
    if len(some) and some.std() > 1e-12 * np.abs(some).max():
        position[known] = (some - some.mean()) / some.std()
    return position


def _planted(data: Material, usable: NDArray[np.bool_], noise: float, seed: int) -> Floats:
    """The features with the true labels among them, under noise."""
    labels = np.where(usable, data.labels, data.labels[usable].mean())
    drawn = np.random.default_rng([seed, 2]).standard_normal(len(labels))
    return np.column_stack([data.features, labels + noise * labels[usable].std() * drawn])
