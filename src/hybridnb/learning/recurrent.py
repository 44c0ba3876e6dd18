"""Recurrent predictors: GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997), PyTorch.

A sequence is the last `window` rows of a symbol's standardised features; the output is the
probability that the price is higher after the horizon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from hybridnb.canonical import canonical
from hybridnb.learning.params import RecurrentParams

Floats = NDArray[np.float64]
CLIP = 5.0  # standard deviations: beyond, an input says no more
CHUNK = 1024  # sequences of one forward pass, always: see `predict`


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread: sums have one order, so that the same seed gives the same bits on the CPU.

    PyTorch's own switch for deterministic kernels concerns GPUs and costs ten seconds of imports.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Network(nn.Module):
    def __init__(self, family: str, inputs: int, params: RecurrentParams) -> None:
        super().__init__()
        kind = nn.GRU if family == "gru" else nn.LSTM
        self.recurrent = kind(
            inputs,
            params.hidden,
            num_layers=params.layers,
            batch_first=True,
            dropout=params.dropout if params.layers > 1 else 0.0,
        )
        self.head = nn.Linear(params.hidden, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (batch,), of sequences of shape (batch, window, inputs)."""
        states, _ = self.recurrent(x)
        logits: torch.Tensor = self.head(states[:, -1]).squeeze(-1)
        return logits


@dataclass(frozen=True)
class Recurrent:
    """A fitted network with what it was standardised by; `losses` by epoch, log loss."""

    network: _Network
    params: RecurrentParams
    columns: tuple[str, ...]
    mean: Floats
    scale: Floats
    name: str
    losses: tuple[float, ...] = ()

    def predict(self, features: pd.DataFrame) -> Floats:
        """Probability of a rise, shape (rows,); NaN where the window isn't whole.

        Every pass has `CHUNK` sequences, the last one padded: the kernels a library picks
        depend on the size of a batch, and a row's last bit must not depend on its neighbours.
        """
        x = standardised(features, self.columns, mean=self.mean, scale=self.scale)
        rows = whole_windows(features, x, self.params.window)
        out = np.full(len(x), np.nan)
        self.network.eval()
        with torch.no_grad(), reproducible():
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                padded = np.resize(part, CHUNK)
                logits = self.network(torch.from_numpy(sequences(x, padded, self.params.window)))
                out[part] = torch.sigmoid(logits.double()).numpy()[: len(part)]
        return out

    def _arrays(self) -> dict[str, NDArray[Any]]:
        weights = {f"net.{k}": v.numpy() for k, v in self.network.state_dict().items()}
        return weights | {"mean": self.mean, "scale": self.scale}

    def _header(self) -> str:
        return canonical(
            {
                "name": self.name,
                "columns": list(self.columns),
                "params": self.params.model_dump(mode="json"),
                "losses": list(self.losses),
            }
        )

    def digest(self) -> str:
        """SHA-256 over the parameters and every array, by name."""
        found = hashlib.sha256(self._header().encode())
        for name, values in sorted(self._arrays().items()):
            found.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return found.hexdigest()

    def to_bytes(self) -> bytes:
        """The model as safetensors, the header in its metadata."""
        from safetensors.numpy import save

        arrays = {k: np.ascontiguousarray(v) for k, v in self._arrays().items()}
        return bytes(save(arrays, metadata={"header": self._header()}))

    @classmethod
    def from_bytes(cls, data: bytes) -> Recurrent:
        """Read what `to_bytes` wrote."""
        import json

        from safetensors.numpy import load

        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["header"])
        arrays, params = load(data), RecurrentParams(**header["params"])
        network = _Network(header["name"], len(header["columns"]), params)
        weights = {k[4:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("net.")}
        network.load_state_dict(weights)
        return cls(
            network,
            params,
            tuple(header["columns"]),
            arrays["mean"],
            arrays["scale"],
            header["name"],
            tuple(header["losses"]),
        )


def standardised(
    features: pd.DataFrame, columns: Sequence[str], *, mean: Floats, scale: Floats
) -> NDArray[np.float32]:
    """Features in clipped standard deviations, shape (rows, columns); NaN stays NaN."""
    x = (features[list(columns)].to_numpy(np.float64) - mean) / scale
    return np.clip(x, -CLIP, CLIP).astype(np.float32)


def whole_windows(features: pd.DataFrame, x: NDArray[np.float32], window: int) -> NDArray[np.int64]:
    """Rows whose last `window` rows are of the same symbol and without NaN."""
    symbols = features["symbol"].to_numpy(dtype="U")
    broken = ~np.isfinite(x).all(axis=1)
    first = np.r_[True, symbols[1:] != symbols[:-1]]
    n = np.arange(len(x))
    # The nearest row at or before each that no window may reach over.
    start = np.maximum.accumulate(np.where(first, n, 0))
    after_gap = np.maximum.accumulate(np.where(broken, n + 1, 0))
    return np.flatnonzero(n - np.maximum(start, after_gap) + 1 >= window).astype(np.int64)


def sequences(x: NDArray[np.float32], rows: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    """Windows that end at `rows`, shape (len(rows), window, columns)."""
    windows: NDArray[np.float32] = x[rows[:, None] + np.arange(1 - window, 1)]
    return windows


def fit_recurrent(
    features: pd.DataFrame,
    labels: Floats,
    rows: NDArray[np.bool_],
    *,
    columns: Sequence[str],
    family: str,
    params: RecurrentParams,
    seed: int,
    say: Callable[[str], None],
) -> Recurrent:
    """Fit on the rows marked; their statistics alone standardise.

    Parameters
    ----------
    features : DataFrame, sorted by (symbol, session)
    labels, rows : ndarray, shape (rows,)
    """
    given = features[list(columns)].to_numpy(np.float64)[rows]
    mean, scale = np.nanmean(given, axis=0), np.nanstd(given, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    x = standardised(features, columns, mean=mean, scale=scale)
    usable = rows & np.isfinite(labels)
    at = whole_windows(features, x, params.window)
    at = at[usable[at]][:: params.stride]
    with reproducible(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network(family, len(columns), params)
        losses = _train(network, x, labels, at, params=params, seed=seed, say=say)
    return Recurrent(network, params, tuple(columns), mean, scale, family, losses)


def _train(
    network: _Network,
    x: NDArray[np.float32],
    labels: Floats,
    at: NDArray[np.int64],
    *,
    params: RecurrentParams,
    seed: int,
    say: Callable[[str], None],
) -> tuple[float, ...]:
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=params.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, params.epochs)
    loss_of, losses = nn.BCEWithLogitsLoss(), []
    network.train()
    for epoch in range(1, params.epochs + 1):
        order, total = rng.permutation(at), 0.0
        for start in range(0, len(order), params.batch):
            part = order[start : start + params.batch]
            optimiser.zero_grad()
            logits = network(torch.from_numpy(sequences(x, part, params.window)))
            loss = loss_of(logits, torch.from_numpy(labels[part].astype(np.float32)))
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            total += loss.item() * len(part)
        schedule.step()
        losses.append(total / max(len(order), 1))
        if epoch == params.epochs or epoch % 10 == 0:
            say(f"  epoch {epoch} of {params.epochs}: loss {losses[-1]:.4f}")
    return tuple(losses)
