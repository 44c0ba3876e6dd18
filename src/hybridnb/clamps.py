"""The hard clamps: the last word on every size. They only shrink.

Whatever ran before, the size that leaves here is at most the per-name cap, the room left in
its bucket, the leverage room and, for F&O, the margin. An entry with any refusal is zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnb.domain import Bucket, Mode, Refusal, TradingState
from hybridnb.limits import CODE
from hybridnb.policy import Clamps

FNO, PENNY = CODE[Bucket.FNO], CODE[Bucket.PENNY]


class Room(NamedTuple):
    """What is left for one name, as shares of equity, the name's own holding not counted."""

    name: float
    bucket: float
    leverage: float
    margin: float


def clamp(size: float, room: Room, *, margin_rate: float, refusals: int) -> float:
    """The largest size not above `size` that breaks no limit; 0 when refused, 0 for NaN anywhere.

    Parameters
    ----------
    size : float
        Share of equity, not negative.
    room : Room
    margin_rate : float
        Margin as a share of exposure; 0 for a name without margin, NaN leaves no room.
    refusals : int
        Bits of `Refusal`.
    """
    if refusals != 0 or not size > 0.0:
        return 0.0
    out = _within(_within(_within(size, room.name), room.bucket), room.leverage)
    if not margin_rate <= 0.0:
        out = _within(out, room.margin / margin_rate)
    return out


def _within(size: float, room: float) -> float:
    """`min(size, room)`, and 0 where the room is NaN or below zero: the unknown leaves none."""
    if room >= size:
        return size
    return room if room > 0.0 else 0.0


def penny_refusals(
    clamps: Clamps,
    *,
    bucket: NDArray[np.int64],
    price: NDArray[np.float64],
    adv: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Why entries in penny names are refused, as bits of `Refusal`, shape (n,).

    `adv` is the 20-day mean traded value and `price` the last close, both in account units;
    NaN refuses a penny name.
    """
    penny = bucket == PENNY
    bits = np.where(penny & ~(adv >= clamps.penny_adv), int(Refusal.PENNY_ADV), 0)
    bits |= np.where(penny & ~(price >= clamps.penny_price), int(Refusal.PENNY_PRICE), 0)
    return bits


def state_refusals(
    *,
    mode: Mode,
    state: TradingState,
    killed: bool,
    quarantined: bool,
    brake: bool,
    verdict_valid: bool,
) -> int:
    """Reasons of the control plane why every entry is refused, as bits of `Refusal`.

    In quarantine the mode is DEMO and its paper entries go on gathering evidence; the bit
    stops an entry in a live mode should one ever be asked for. No live mode trades without a
    valid verdict.
    """
    bits = 0
    if killed:
        bits |= Refusal.KILL_SWITCH
    if quarantined and mode.live:
        bits |= Refusal.QUARANTINE
    if brake:
        bits |= Refusal.BRAKE
    if state is not TradingState.ACTIVE:
        bits |= Refusal.TRADING_STATE
    if mode.live and not verdict_valid:
        bits |= Refusal.NO_VERDICT
    return int(bits)
