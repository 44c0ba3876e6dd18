"""The decision in the form that suits a universe: as it stands, or compiled."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.desk import Decide
from hybridnb.app.records import EACH
from hybridnb.decide import DECISION, INPUT, decide, decide_within
from hybridnb.domain import Mode
from hybridnb.entries import Account
from hybridnb.limits import Limits, limits
from hybridnb.policy import Policy


def decider(names: int, cache: Path) -> Decide:
    """`hybridnb.decide.decide`, or for a large universe its compiled twin; both agree to the bit.

    Parameters
    ----------
    names : int
        How many are decided. Up to `EACH` the plain form takes less than loading the other.
    cache : Path
        Folder that keeps the machine code. It is made, or read, here, not at the first decision.
    """
    from hybridnb.replay.compiler import available

    return _twin(cache) if names > EACH and available() else decide


@lru_cache(maxsize=1)
def _twin(cache: Path) -> Decide:
    from hybridnb.replay.compiler import compiled

    into = compiled(decide_within, cache=cache)

    def decide_fast(
        lim: Limits, account: Account, rows: NDArray[Any], returns: NDArray[np.float64]
    ) -> NDArray[Any]:
        out = np.empty(len(rows), DECISION)
        with np.errstate(all="ignore"):
            into(lim, account, rows, histories(returns), len(returns), out)
        return out

    # Machine code is made for arguments of these types.
    rows, returns = np.zeros(2, INPUT), np.zeros((4, 2), order="F")[1:3]
    decide_fast(limits(Policy(), Mode.DEMO), Account(1.0, 1.0, False), rows, returns)
    return decide_fast


def histories(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns by name, shape (n, at least t), each name's in one piece; the first t are meant.

    A panel's `returns`, shape (t, n), are a stretch of longer columns. Told as what it is, a
    stretch, a compiler would walk it step by step; here the rows overlap the whole columns, and
    what lies beyond the first t mustn't be read.
    """
    apart, each = returns.strides[1] // returns.itemsize, returns.itemsize
    shape, steps = (returns.shape[1], apart), (apart * each, each)
    if returns.strides != steps[::-1] or apart < len(returns):
        shape, steps, returns = returns.T.shape, (len(returns) * each, each), returns.copy("F")
    return np.lib.stride_tricks.as_strided(returns.T, shape, steps, writeable=False)
