"""Predictors of every family, fitted and read back by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.learning.boosting import Boosting, fit_boosting
from hybridnb.learning.params import LearningParams

Floats = NDArray[np.float64]
KEYS = ("symbol", "session")


class Fitted(Protocol):
    """What every family gives: `ports.Predictor`, its bytes and its training losses."""

    @property
    def name(self) -> str: ...

    @property
    def losses(self) -> tuple[float, ...]: ...

    def predict(self, features: pd.DataFrame) -> Floats:
        """Probability of a rise by row; NaN where the row lacks its warm-up."""

    def digest(self) -> str:
        """Canonical content digest."""

    def to_bytes(self) -> bytes:
        """Everything `load` needs."""


def fit(
    features: pd.DataFrame,
    labels: Floats,
    rows: NDArray[np.bool_],
    *,
    params: LearningParams,
    which: Literal["short", "mid"],
    family: str | None = None,
    seed: int,
    say: Callable[[str], None],
) -> Fitted:
    """Fit one predictor on the marked rows that have a label and whole features.

    Parameters
    ----------
    features : DataFrame
        symbol, session and feature columns, sorted by (symbol, session).
    labels, rows : ndarray, shape (rows,)
    family : str or None
        None: the profile's for `which`.
    """
    kind = family or getattr(params, which).family
    columns = [c for c in features.columns if c not in KEYS]
    if kind == "boosting":
        x = features[columns].to_numpy(np.float64)
        use = rows & np.isfinite(labels) & np.isfinite(x).all(axis=1)
        return fit_boosting(x[use], labels[use], columns=columns, params=params.boosting, seed=seed)
    from hybridnb.learning.recurrent import fit_recurrent

    return fit_recurrent(
        features,
        labels,
        rows,
        columns=columns,
        family=kind,
        params=params.recurrent,
        seed=seed,
        say=say,
    )


def load(kind: str, data: bytes) -> Fitted:
    """A predictor from its bytes."""
    if kind == "boosting":
        return Boosting.from_bytes(data)
    from hybridnb.learning.recurrent import Recurrent

    return Recurrent.from_bytes(data)
