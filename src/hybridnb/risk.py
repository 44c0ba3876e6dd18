"""The control plane's state: kill switch, quarantine, soft halt and protections.

A `RiskState` is a frozen value; each function takes one and returns the next with its alerts.
Sessions are counted by ordinals of the exchange calendar, which the caller gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybridnb.domain import Leg, Mode, TradingState
from hybridnb.policy import Risk
from hybridnb.values import replace

KILL_ALERT = "Kill-switch armed—flattened; Demo tomorrow unless override"
QUARANTINE_ALERT = "Demo quarantine activated—GPT-5 override required"
QUARANTINE_DAILY = "Demo quarantine active—{left} days remaining"
SOFT_HALT_ALERT = "Day loss near its limit—exits only"
UNKNOWN_PNL_ALERT = "Day P&L can't be computed—halted"

ALL = "*"  # the symbol of a lock that covers every name
REPEATS = "repeated_fills"  # the lock of a symbol that too many executions disabled
FOREVER = 2**31 - 1  # the last ordinal of a lock that a person alone takes away
_HISTORY = 64  # sessions and trades kept for the guards; the ledger keeps everything


@dataclass(frozen=True, slots=True)
class Lock:
    """A protection: entries of `symbol` (`*`: all) are refused through session `until`."""

    name: str
    symbol: str
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """What the guards remember of a closed trade; `pnl` in 1/10,000."""

    ordinal: int
    symbol: str
    leg: Leg
    pnl: int


@dataclass(frozen=True, slots=True)
class RiskState:
    """The control plane between two steps.

    `killed` latches; `kills` are the ordinals of kill-switch sessions; a quarantine covers the
    sessions up to and including `quarantine_until`.
    """

    mode: Mode = Mode.DEMO
    state: TradingState = TradingState.ACTIVE
    ordinal: int = 0
    killed: bool = False
    killed_since: str = ""
    kills: tuple[int, ...] = ()
    quarantine_until: int = 0
    brake: bool = False
    warnings: int = 0
    locks: tuple[Lock, ...] = ()
    equities: tuple[tuple[int, int], ...] = ()
    closed: tuple[Closed, ...] = ()

    @property
    def quarantined(self) -> bool:
        return self.ordinal <= self.quarantine_until

    def locked(self, symbol: str) -> Lock | None:
        """The lock that refuses entries of a symbol today, if any."""
        live = (lock for lock in self.locks if lock.until >= self.ordinal)
        return next((lock for lock in live if lock.symbol in (ALL, symbol)), None)


def opened(state: RiskState, ordinal: int) -> tuple[RiskState, tuple[str, ...]]:
    """The state at a session's opening.

    The latch of an earlier session is cleared into DEMO; a quarantine keeps DEMO; locks that
    have run out go. Opening the same session again changes nothing: the latch survives a
    restart.
    """
    if ordinal <= state.ordinal:
        return state, ()
    alerts: tuple[str, ...] = ()
    mode = Mode.DEMO if state.killed or ordinal <= state.quarantine_until else state.mode
    if ordinal <= state.quarantine_until:
        alerts = (QUARANTINE_DAILY.format(left=state.quarantine_until - ordinal + 1),)
    after = replace(
        state,
        ordinal=ordinal,
        mode=mode,
        state=TradingState.ACTIVE,
        killed=False,
        killed_since="",
        warnings=0,
        locks=tuple(lock for lock in state.locks if lock.until >= ordinal),
    )
    return after, alerts


def disabled(state: RiskState) -> frozenset[str]:
    """Symbols that repeated executions disabled, and that nobody has enabled since."""
    return frozenset(lock.symbol for lock in state.locks if lock.name == REPEATS)


def disable(state: RiskState, symbol: str, reason: str) -> RiskState:
    """The state in which a symbol isn't traded until a person enables it, in later sessions too."""
    return replace(state, locks=(*state.locks, Lock(REPEATS, symbol, FOREVER, reason)))


def moved(state: RiskState, mode: Mode) -> RiskState:
    """The state in the mode that an operator asks for, between a session's opening and its orders.

    DEMO may always be had; a live mode neither with the switch latched nor in a quarantine.
    """
    if mode.live and (state.killed or state.quarantined):
        return state
    return replace(state, mode=mode)


def cleared(state: RiskState, until: int) -> RiskState:
    """The state without the quarantine that would have lasted through this session.

    The mode stays DEMO, kills so far don't count again. Another quarantine stays, and so does
    one whose kill is still latched: it is cleared at an opening.
    """
    if state.killed or not state.quarantined or state.quarantine_until != until:
        return state
    return replace(state, quarantine_until=state.ordinal - 1)


def marked(
    state: RiskState, risk: Risk, day_pnl: float | None, *, at: str
) -> tuple[RiskState, tuple[str, ...]]:
    """The state after a mark of the book.

    Parameters
    ----------
    day_pnl : float or None
        Realised and unrealised, a fraction of the session's opening equity; None or NaN where
        it can't be computed, which halts.

    Returns
    -------
    tuple
        The next state and the alerts it raises. A kill at exactly the limit trips; it latches,
        halts, and may start a quarantine.
    """
    if state.killed:
        return state, ()
    if day_pnl is None or day_pnl != day_pnl:
        return replace(state, state=TradingState.HALTED), (UNKNOWN_PNL_ALERT,)
    if day_pnl <= risk.kill_day_pnl:
        return _killed(state, risk, at)
    warns = state.warnings + 1 if day_pnl / risk.kill_day_pnl >= risk.soft_halt_share else 0
    state = replace(state, warnings=warns)
    if warns >= risk.soft_halt_confirmations and state.state is TradingState.ACTIVE:
        return replace(state, state=TradingState.REDUCING), (SOFT_HALT_ALERT,)
    return state, ()


def _killed(state: RiskState, risk: Risk, at: str) -> tuple[RiskState, tuple[str, ...]]:
    kills = (*state.kills, state.ordinal)[-_HISTORY:]
    state = replace(state, killed=True, killed_since=at, kills=kills, state=TradingState.HALTED)
    # Kills before the last quarantine's end don't count again.
    first = max(state.ordinal - risk.quarantine_window + 1, state.quarantine_until + 1)
    if sum(kill >= first for kill in kills) < risk.quarantine_kills:
        return state, (KILL_ALERT,)
    until = state.ordinal + risk.quarantine_sessions
    return replace(state, quarantine_until=until), (KILL_ALERT, QUARANTINE_ALERT)


def settled(state: RiskState, risk: Risk, *, equity: int, trades: Sequence[Closed]) -> RiskState:
    """The state after a session's close: histories extended, protections evaluated."""
    state = replace(
        state,
        equities=(*state.equities, (state.ordinal, equity))[-_HISTORY:],
        closed=(*state.closed, *trades)[-_HISTORY:],
    )
    locks = list(state.locks)
    held = {(lock.name, lock.symbol) for lock in locks}
    for lock in _guards(state, risk, trades):
        if (lock.name, lock.symbol) not in held:
            held.add((lock.name, lock.symbol))
            locks.append(lock)
    return replace(state, locks=tuple(locks))


def _guards(state: RiskState, risk: Risk, trades: Sequence[Closed]) -> list[Lock]:
    now = state.ordinal
    locks = []
    stops, window, length = risk.stop_guard
    stopped = [t for t in state.closed if t.leg is Leg.STOP and t.ordinal > now - window]
    if len(stopped) >= stops and any(t.leg is Leg.STOP for t in trades):
        reason = f"{len(stopped)} stops in {window} sessions"
        locks.append(Lock("stop_guard", ALL, now + length, reason))
    drop, window, length = risk.drawdown_guard
    recent = [value for ordinal, value in state.equities if ordinal > now - window]
    if recent and recent[-1] <= (1.0 - drop) * max(recent):
        share = 1.0 - recent[-1] / max(recent)
        locks.append(Lock("drawdown_guard", ALL, now + length, f"drawdown {share:.2%}"))
    for symbol in sorted({t.symbol for t in trades}):
        locks.append(Lock("cooldown", symbol, now + risk.cooldown_bars, "exit this session"))
        last, length = risk.low_profit
        mine = [t.pnl for t in state.closed if t.symbol == symbol][-last:]
        if len(mine) == last and sum(mine) < 0:
            reason = f"mean of the last {last} trades below zero"
            locks.append(Lock("low_profit", symbol, now + length, reason))
    return locks
