"""The size hint in a replay: the view that depends on the book, from the replay's own book."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridnb.app.kernels import MODE
from hybridnb.app.panel import Panel
from hybridnb.blender import sigmoid
from hybridnb.domain import SCALE
from hybridnb.learning.hint import Hint, observe
from hybridnb.limits import Limits, limits
from hybridnb.policy import Policy
from hybridnb.replay.control import equity
from hybridnb.replay.run import Hints
from hybridnb.replay.tape import ANNUAL_VOLATILITY, ATR, PRICE, WIN_LONG, Floats, World


@dataclass(frozen=True)
class ReplayHints:
    """What the hint sees besides the tape: trend and regime of each row, shape (T,).

    It sees the very numbers that it sees in a live session (`hinting.live_hints`).
    """

    hint: Hint
    trend_strength: Floats
    regimes: tuple[str, ...]

    def under(self, policy: Policy) -> Hints:
        """The hints of a replay under a policy, in its mode and in any that it is demoted to."""
        lim, initial = limits(policy, MODE), policy.stops.initial
        return lambda world, t: self._views(world, t, lim, initial)

    def _views(self, w: World, t: int, lim: Limits, initial: float) -> Floats:
        """Views in (0, 1) of every name before session t, shape (n,)."""
        s = t - 1
        held, unrealised = _holdings(w, s, lim, initial)
        seen = observe(
            p_short=w.p_short[s],
            p_mid=w.p_mid[s],
            win_long=w.facts[s, :, WIN_LONG],
            annual_volatility=w.facts[s, :, ANNUAL_VOLATILITY],
            atr_share=w.facts[s, :, ATR] / w.facts[s, :, PRICE],
            volatility_z=float(w.volatility_z[s]),
            trend_strength=float(self.trend_strength[s]),
            regime=self.regimes[s],
            held=held,
            unrealised=unrealised,
        )
        return np.array([sigmoid(float(h)) for h in self.hint.hints(seen)])


def _holdings(w: World, s: int, lim: Limits, initial: float) -> tuple[Floats, Floats]:
    """Share of each name's cap that is held, and its gain in multiples of the initial risk."""
    held, unrealised = np.zeros(len(w.bucket)), np.zeros(len(w.bucket))
    value_of_book = equity(w, s, w.close)
    for j in np.flatnonzero(w.quantity):
        quantity, multiplier, last = int(w.quantity[j]), int(w.multiplier[j]), int(w.last[j])
        cap = lim.name[int(w.bucket[j])]
        held[j] = quantity * multiplier * last / value_of_book / cap if cap > 0.0 else 0.0
        entry = int(w.cost[j]) / (quantity * multiplier)
        sign = 1 if quantity > 0 else -1
        unrealised[j] = sign * (last - entry) / (initial * float(w.entry_atr[j]) * SCALE)
    return held, unrealised


def replay_hints(hint: Hint, panel: Panel) -> ReplayHints:
    """A trained hint with what it sees of a panel's rows."""
    facts = panel.facts
    nothing = np.full(len(facts), np.nan)
    known = "trend_strength" in facts
    trend = facts["trend_strength"].to_numpy(np.float64) if known else nothing
    return ReplayHints(hint, trend, tuple(str(r) for r in facts["regime"]))
