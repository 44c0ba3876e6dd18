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
from hybridnb.errors import Breach, InputError
from hybridnb.learning.params import BoostingParams

Floats = NDArray[np.float64]
# All that a model's bytes may name beside what skops itself trusts.
TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)


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
        """SHA-256 over every tree's nodes, the baseline, the parameters and the columns."""
        header = [self.name, list(self.columns), self.model.get_params()]
        found = hashlib.sha256(canonical(header).encode())
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
        """Read what `to_bytes` wrote.

        Raises
        ------
        InputError
            When the bytes name a type outside `TRUSTED`; nothing of them was built.
        """
        import skops.io

        strange = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
        if strange:
            breach = Breach("boosting model", None, "trusted types", ", ".join(strange))
            raise InputError([breach], remedy="Train the model again; it was tampered with.")
        kept = skops.io.loads(data, trusted=list(TRUSTED))
        return cls(kept["model"], tuple(kept["columns"]), tuple(kept["losses"]))


def fit_boosting(
    x: Floats, y: Floats, *, columns: Sequence[str], params: BoostingParams, seed: int
) -> Boosting:
    """Fit on whole rows, shape (n, features) and (n,).

    Outcomes of one kind only get one pseudo-row of each kind, so that the answer is Laplace's
    rate; scikit-learn would take the one kind there is for a fall. One thread: sums have one
    order whatever the machine, and two busy cores don't wait for each other.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss
    from threadpoolctl import threadpool_limits

    if len(np.unique(y)) == 1:
        x, y = np.vstack([x, x[:1], x[:1]]), np.r_[y, 0.0, 1.0]
    model = HistGradientBoostingClassifier(
        max_iter=params.iterations,
        learning_rate=params.learning_rate,
        max_leaf_nodes=params.leaves,
        min_samples_leaf=params.least_leaf,
        l2_regularization=params.l2,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1):
        model.fit(x, y)
    every = max(1, params.iterations // 20)
    staged = enumerate(model.staged_predict_proba(x), 1)
    losses = [float(log_loss(y, p, labels=[0.0, 1.0])) for n, p in staged if n % every == 0]
    return Boosting(model, tuple(columns), tuple(losses))
