"""Out-of-fold outputs: what a predictor said of rows that it never saw.

Each fold is kept as soon as it is done, named by a digest of everything it is a function of, so
that a killed training goes on with the next fold and ends with the same outputs.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.canonical import plain, sha256
from hybridnb.learning.params import LearningParams
from hybridnb.learning.predictors import Fitted, fit, load
from hybridnb.metrics import log_loss
from hybridnb.splits import Fold, walk_forward

Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class OutOfFold:
    """Outputs, the final model, and how each fold went.

    Attributes
    ----------
    raw : ndarray, shape (rows,)
        The output of the fold's model that never saw the row; NaN before the first test. The
        last fold's test ends with the last session, also where no label is known yet.
    model : Fitted
        Fitted on every labelled row.
    folds : DataFrame
        fold, train_end, test_start, test_end, rows, log_loss, base_rate_loss.
    losses : tuple of float
        Training losses of the final model.
    """

    raw: Floats
    model: Fitted
    folds: pd.DataFrame
    losses: tuple[float, ...]


def out_of_fold(
    features: pd.DataFrame,
    labels: Floats,
    *,
    params: LearningParams,
    which: Literal["short", "mid"],
    horizon: int,
    seed: int,
    family: str | None = None,
    checkpoint: Path | None = None,
    say: Say,
) -> OutOfFold:
    """Walk forward through the sessions, then fit once on everything.

    Parameters
    ----------
    features : DataFrame
        symbol, session and feature columns, sorted by (symbol, session).
    labels : ndarray, shape (rows,)
        NaN where the outcome isn't known.
    horizon : int
        Bars of the symbol that a label looks ahead: the least purge. A row is trained on only
        if its label was known before the fold's test, so that a symbol's gaps leak nothing.
    checkpoint : Path or None
        Folder for finished folds.
    """
    sessions, at = np.unique(features["session"].to_numpy("datetime64[D]"), return_inverse=True)
    walk = params.walk_forward
    # The history before the features' warm-up can't be trained on.
    first = int(at[features.notna().all(axis=1).to_numpy()].min(initial=len(sessions)))
    folds = walk_forward(
        len(sessions) - first,
        splits=walk.splits,
        purge=max(walk.purge, horizon),
        embargo=walk.embargo,
        min_train=min(walk.min_train, max(50, (len(sessions) - first) // 3)),
    )
    key = sha256([_content(features, labels), plain(params.model_dump(mode="json"))])
    kept = _Kept(checkpoint, sha256([key, which, horizon, seed, family]))

    def fitted(name: str, rows: NDArray[np.bool_]) -> Fitted:
        if (done := kept.get(name)) is not None:
            return done
        choice: dict[str, Any] = {"params": params, "which": which, "family": family}
        return kept.put(name, fit(features, labels, rows, seed=seed, say=say, **choice))

    at = at - first
    known_at = _known_at(features, at, horizon)
    raw, table = np.full(len(features), np.nan), []
    for n, fold in enumerate(folds, 1):
        model = fitted(f"fold-{n}", (at < fold.train_end) & (known_at < fold.test_start))
        test = (at >= fold.test_start) & (at < fold.test_end)
        raw[test] = model.predict(features)[test]
        table.append(_row(n, fold, sessions[first:], raw[test], labels[test]))
        say(f"  fold {n} of {len(folds)}: {table[-1]['rows']} rows, {_words(table[-1])}")
    final = fitted("final", np.isfinite(labels))
    return OutOfFold(raw, final, pd.DataFrame(table), final.losses)


def _known_at(features: pd.DataFrame, at: NDArray[np.int64], horizon: int) -> Floats:
    """Position of the session in which each row's label becomes known; NaN: not yet."""
    symbols = features["symbol"].to_numpy()
    return pd.Series(at).groupby(symbols).shift(-horizon).to_numpy(np.float64)


def _content(features: pd.DataFrame, labels: Floats) -> str:
    numbers = features.drop(columns=["symbol", "session"])
    keys = features["symbol"].str.cat(features["session"].dt.strftime(" %Y-%m-%d"), na_rep="?")
    values = np.ascontiguousarray(numbers.to_numpy(np.float64)).tobytes()
    return sha256([sha256(values), sha256("\n".join(keys)), sha256(labels.tobytes())])


def _row(n: int, fold: Fold, sessions: NDArray[Any], raw: Floats, labels: Floats) -> dict[str, Any]:
    known = np.isfinite(raw) & np.isfinite(labels)
    y = labels[known]
    rate = np.full(len(y), y.mean() if len(y) else np.nan)
    return {
        "fold": n,
        "train_end": str(sessions[fold.train_end - 1]),
        "test_start": str(sessions[fold.test_start]),
        "test_end": str(sessions[fold.test_end - 1]),
        "rows": len(y),
        "log_loss": log_loss(y, raw[known]) if len(y) else None,
        "base_rate_loss": log_loss(y, rate) if len(y) else None,
    }


def _words(row: dict[str, Any]) -> str:
    if row["log_loss"] is None:
        return "no outcome known"
    return f"log loss {row['log_loss']:.4f} (base rate {row['base_rate_loss']:.4f})"


class _Kept:
    """Finished fits in a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self._folder = folder / key[:16] if folder else None

    def get(self, name: str) -> Fitted | None:
        if self._folder is None or not (path := self._folder / f"{name}.npz").is_file():
            return None
        with np.load(path) as found:
            return load(str(found["kind"]), found["data"].tobytes())

    def put(self, name: str, model: Fitted) -> Fitted:
        if self._folder is None:
            return model
        self._folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, kind=model.name, data=np.frombuffer(model.to_bytes(), np.uint8))
        fresh = self._folder / f"{name}.{os.getpid()}"
        fresh.write_bytes(buffer.getvalue())
        os.replace(fresh, self._folder / f"{name}.npz")
        return model
