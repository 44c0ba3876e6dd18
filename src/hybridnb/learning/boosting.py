"""Gradient boosting: the static baseline, and a predictor of its own (scikit-learn).

Friedman 2001; the histogram form is scikit-learn's HistGradientBoostingClassifier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.canonical import canonical
from hybridnb.learning.params import BoostingParams

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Boosting:
    """A fitted classifier and the columns it reads.

    `losses` is the training loss after each tree, in log loss.
    """

    model: Any
    columns: tuple[str, ...]
    losses: tuple[float, ...] = ()
    name: str = "boosting"

    def predict(self, features: pd.DataFrame) -> Floats:
        """Probability of a rise, shape (rows,); NaN where a feature is."""
        x = features[list(self.columns)].to_numpy(np.float64)
        whole = np.isfinite(x).all(axis=1)
        out = np.full(len(x), np.nan)
        if whole.any():
            out[whole] = self.model.predict_proba(x[whole])[:, 1]
        return out

    def digest(self) -> str:
        """SHA-256 over every tree's nodes, the baseline and the columns."""
        found = hashlib.sha256(canonical([self.name, list(self.columns)]).encode())
        found.update(np.asarray(self.model._baseline_prediction, "<f8").tobytes())
        for trees in self.model._predictors:
            for tree in trees:
                for name in tree.nodes.dtype.names:
                    found.update(np.ascontiguousarray(tree.nodes[name]).tobytes())
        return found.hexdigest()

    def to_bytes(self) -> bytes:
        """The model in skops' format, which holds no code."""
        import skops.io

        kept = {"model": self.model, "columns": list(self.columns), "losses": list(self.losses)}
        return bytes(skops.io.dumps(kept))

    @classmethod
    def from_bytes(cls, data: bytes) -> Boosting:
        """Read what `to_bytes` wrote; only scikit-learn's own tree types are trusted."""
        import skops.io

        unknown = skops.io.get_untrusted_types(data=data)
        strange = [t for t in unknown if not t.startswith("sklearn._loss.")]
        strange = [t for t in strange if not t.startswith("sklearn.ensemble._hist_gradient")]
        kept = skops.io.loads(data, trusted=[t for t in unknown if t not in strange])
        return cls(kept["model"], tuple(kept["columns"]), tuple(kept["losses"]))


def fit_boosting(
    x: Floats, y: Floats, *, columns: Sequence[str], params: BoostingParams, seed: int
) -> Boosting:
    """Fit on whole rows, shape (n, features) and (n,)."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss

    model = HistGradientBoostingClassifier(
        max_iter=params.iterations,
        learning_rate=params.learning_rate,
        max_leaf_nodes=params.leaves,
        min_samples_leaf=params.least_leaf,
        l2_regularization=params.l2,
        early_stopping=False,
        random_state=seed,
    ).fit(x, y)
    every = max(1, params.iterations // 20)
    staged = enumerate(model.staged_predict_proba(x), 1)
    losses = [float(log_loss(y, p, labels=[0.0, 1.0])) for n, p in staged if n % every == 0]
    return Boosting(model, tuple(columns), tuple(losses))
