"""The size hint's environment: one name at a time, traded by the very decision function.

An action in [−1, 1] is a hint of 4 × action; the decision, its caps and clamps, the brackets and
the costs are the session's own. P&L and drawdown are measured on the name's allotment (its
per-name cap), so that rewards are alike over buckets and modes.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from hybridnb.blender import sigmoid
from hybridnb.costs import LATENCIES, commission, rates, slippage_bps
from hybridnb.decide import decide_one
from hybridnb.domain import SCALE, Bar, Position
from hybridnb.entries import Account
from hybridnb.fills import protective_fill
from hybridnb.learning.hint import OBSERVATION, SCALE_ACTION, observe
from hybridnb.learning.rewards import TRENDING, Outcome, RewardMix, reward
from hybridnb.limits import Limits
from hybridnb.policy import Policy
from hybridnb.stops import protect, stop_rule, trail
from hybridnb.totals import Context

Floats = NDArray[np.float64]
EPISODE = 252  # sessions
TAIL = 252  # sessions of returns behind value at risk
SHARPE_FROM = 20  # steps before a running Sharpe ratio means anything
SLIPPAGE_RATE = 0.1  # of the exponential mean
REWARD_SCALE = 0.01  # one per cent of the allotment is a reward of about 1
_DAY = dt.date(2000, 1, 1)


@dataclass(frozen=True)
class EpisodeData:
    """History as the environment reads it: t sessions, n names.

    Attributes
    ----------
    rows : structured array of decide.INPUT, shape (t, n)
        All but rl, held and risk, as known at each close.
    prices : ndarray of int64, shape (4, t, n)
        Open, high, low, close in 1/10,000; 0 where there was no bar: nothing trades, and the
        next bar's gain is from the last close known.
    returns : ndarray, shape (t, n)
        Daily returns; NaN without a bar.
    volatility, adv : ndarray, shape (t, n)
        Daily volatility and average daily units, for slippage.
    volatility_z, trend_strength : ndarray, shape (t,)
    regimes : sequence of str, length t
    """

    rows: NDArray[Any]
    prices: NDArray[np.int64]
    returns: Floats
    volatility: Floats
    adv: Floats
    volatility_z: Floats
    trend_strength: Floats
    regimes: tuple[str, ...]

    def usable(self) -> list[int]:
        """Names with enough decidable sessions for an episode."""
        known = np.isfinite(self.rows["p_short"]) & (self.prices[0] > 0)
        return [int(s) for s in np.flatnonzero(known.sum(axis=0) >= 30)]


class TradingEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One name over up to 252 sessions; `reset` draws the name and the start from the seed."""

    def __init__(
        self, data: EpisodeData, policy: Policy, lim: Limits, mix: RewardMix, *, names: list[int]
    ) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (len(OBSERVATION),), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._data, self._policy, self._lim, self._mix = data, policy, lim, mix
        self._rates, self._rule = rates(policy.costs), stop_rule(policy.stops)
        self._names = names

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; `options` may fix `name` and `start`."""
        super().reset(seed=seed)
        given = options or {}
        self._name = int(given.get("name", self.np_random.choice(self._names)))
        rows = self._data.rows[:, self._name]
        known = np.flatnonzero(
            np.isfinite(rows["p_short"]) & (self._data.prices[0, :, self._name] > 0)
        )
        first, last = int(known[0]), int(known[-1])
        late = max(first, last - EPISODE)
        start = int(given.get("start", self.np_random.integers(first, late + 1)))
        self._t, self._last = start, min(start + EPISODE, last)
        self._held = 0.0
        self._position: Position | None = None
        self._mark = 0  # last close known, in 1/10,000
        self._equity = self._peak = 1.0
        self._slippage = 0.0
        self._steps, self._mean, self._squares = 0, 0.0, 0.0
        self._marked(int(self._data.prices[3, start, self._name]))
        return self._observation(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Decide with the hint, trade the next session, mark at its close."""
        decision = self._decide(float(np.clip(action, -1.0, 1.0)[0]))
        self._t += 1
        outcome = self._trade(decision)
        terminated = self._t >= self._last or self._equity <= 0.0
        value = REWARD_SCALE * reward(self._mix, outcome)
        return self._observation(), value, terminated, False, {"held": self._held}

    def _decide(self, action: float) -> Any:
        t, s = self._t, self._name
        row = self._data.rows[t, s].copy()
        row["rl"] = sigmoid(SCALE_ACTION * action)
        row["held"] = self._held
        if self._position is not None:
            row["risk"] = abs(self._held) * abs(self._mark - self._position.stop) / self._mark
        returns = self._data.returns[max(0, t + 1 - TAIL) : t + 1, s]
        alone = Context(0.0, 0.0, 0.0, 0.0, self._held * returns)
        crisis = self._data.regimes[t] == "crisis"
        crisis |= bool(row["correlation"] > self._policy.sizing.crisis_correlation)
        account = Account(self._policy.opening_cash, self._policy.clamps.bucket_fno, crisis)
        return decide_one(self._lim, account, row, alone, returns)

    def _trade(self, decision: Any) -> Outcome:
        t, s = self._t, self._name
        o, h, low, c = (int(p) for p in self._data.prices[:, t, s])
        if min(o, h, low, c) <= 0:
            return self._outcome(0.0, fees=0.0, slippage=0.0, turnover=0.0)
        gain, moved = (self._held * (o / self._mark - 1.0) if self._held else 0.0), 0.0
        change = self._wanted(decision)
        if change:
            moved += abs(change)
            self._fill(change, o, float(self._data.rows["atr"][t - 1, s]))
        if self._position is not None:
            gained, left = self._through(Bar("", _DAY, o, h, low, c, 0), o)
            gain, moved = gain + gained, moved + left
        self._marked(c)
        fees, slippage = self._costs(moved, o)
        return self._outcome(gain, fees=fees, slippage=slippage, turnover=moved)

    def _marked(self, close: int) -> None:
        self._mark = close if close > 0 else self._mark

    def _wanted(self, decision: Any) -> float:
        """Signed change of the share held that the decision asks for at the open."""
        action, target = int(decision["action"]), float(decision["size_post_risk"])
        if action * self._held < 0:
            return -self._held
        grown = abs(target) - abs(self._held)
        return action * grown if action != 0 and grown > 0 else 0.0

    def _fill(self, change: float, price: int, atr: float) -> None:
        held = self._held + change
        if abs(held) < 1e-12:
            self._held, self._position = 0.0, None
            return
        sign = 1 if held > 0 else -1
        old = self._position
        # One unit stands for the whole share: its cost is the fill-weighted entry.
        cost = price * sign
        if old is not None:
            cost = round((old.cost * self._held + cost * change) / held)
        stop, target, best = (old.stop, old.target, old.best) if old else (0, 0, price)
        position = Position("", sign, cost, 1, atr, stop, target, best, "", "")
        self._held = held
        self._position = protect(position, self._rule, tick=1)

    def _through(self, bar: Bar, start: int) -> tuple[float, float]:
        """Gain from the open through the bar, and what a protective leg closed."""
        position = self._position
        if position is None:
            return 0.0, 0.0
        sign = -1 if position.quantity > 0 else 1
        leg, at = protective_fill(bar, position.stop, position.target, sign)
        if not leg:
            self._position = trail(position, self._rule, high=bar.high, low=bar.low, tick=1)
            return self._held * (bar.close / start - 1.0), 0.0
        gain, left = self._held * (at / start - 1.0), abs(self._held)
        self._held, self._position = 0.0, None
        return gain, left

    def _costs(self, moved: float, price: int) -> tuple[float, float]:
        """Fees and slippage of what was traded, in bps of the allotment."""
        if moved == 0.0:
            return 0.0, 0.0
        t, s = self._t, self._name
        units = max(1, round(moved * self._policy.opening_cash * SCALE / price))
        fee = commission(self._rates, quantity=units, price=price)
        bps = slippage_bps(
            self._rates,
            int(self._data.rows["bucket"][t, s]),
            quantity=units,
            adv_units=float(self._data.adv[t, s]),
            daily_volatility=float(self._data.volatility[t, s]),
            draw=LATENCIES // 2,
        )
        share = moved / self._cap
        return 1e4 * share * fee / (units * price), share * bps

    @property
    def _cap(self) -> float:
        return self._lim.name[int(self._data.rows["bucket"][self._t, self._name])]

    def _regime(self) -> str:
        """The session's regime as the reward names it: illiquid names have one of their own."""
        if self._data.rows["liquidity"][self._t, self._name] < self._lim.liquidity:
            return "low_liquidity"
        return self._data.regimes[self._t]

    def _sharpe(self, net: float) -> float:
        """The episode's Sharpe ratio a year with this step's return (Welford's running sums)."""
        self._steps += 1
        off = net - self._mean
        self._mean += off / self._steps
        self._squares += off * (net - self._mean)
        if self._steps < SHARPE_FROM or self._squares <= 0.0:
            return 0.0
        return self._mean / math.sqrt(self._squares / self._steps) * math.sqrt(252.0)

    def _outcome(self, gain: float, *, fees: float, slippage: float, turnover: float) -> Outcome:
        cap = self._cap
        pnl = 1e4 * gain / cap
        net = (pnl - fees - slippage) / 1e4
        self._equity += net
        self._peak = max(self._peak, self._equity)
        mean = self._slippage
        self._slippage += SLIPPAGE_RATE * (slippage - mean)
        regime, invested = self._regime(), self._held != 0.0
        return Outcome(
            pnl=pnl,
            drawdown=100.0 * (1.0 - self._equity / self._peak),
            fees=fees,
            slippage=slippage,
            slippage_mean=mean,
            sharpe=self._sharpe(net),
            regime=regime,
            matched=invested == (regime in TRENDING),
            turnover=turnover / cap,
        )

    def _observation(self) -> NDArray[np.float32]:
        t, s = self._t, self._name
        row = self._data.rows[t, s]
        unrealised = 0.0
        if self._position is not None:
            risk = self._policy.stops.initial * self._position.atr * SCALE
            unrealised = self._position.quantity * (self._mark - self._position.entry) / risk
        seen: NDArray[np.float32] = observe(
            p_short=row["p_short"],
            p_mid=row["p_mid"],
            win_long=row["win_long"],
            annual_volatility=row["annual_volatility"],
            atr_share=row["atr"] / row["price"],
            volatility_z=float(self._data.volatility_z[t]),
            trend_strength=float(self._data.trend_strength[t]),
            regime=self._data.regimes[t],
            held=self._held / self._cap,
            unrealised=unrealised,
        )[0]
        return seen
