"""The hard clamps: the last word on every size. They only shrink.

Whatever ran before, the size that leaves here is at most the per-name cap, the room left in
its bucket, the leverage room and, for F&O, the margin. An entry with any refusal is zero.
"""

from __future__ import annotations

from typing import NamedTuple

from hybridnb.domain import Bucket, Mode, Refusal, TradingState
from hybridnb.limits import CODE
from hybridnb.policy import Clamps

FNO = CODE[Bucket.FNO]


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


def entry_refusals(
    clamps: Clamps,
    *,
    bucket: Bucket,
    price: float,
    adv: float,
    listed_do_not_trade: bool,
    stale: bool,
    bad_quality: bool,
) -> int:
    """Reasons of the instrument and its data why an entry is refused, as bits of `Refusal`.

    `adv` is the 20-day mean traded value and `price` the last close, both in account units;
    NaN refuses a penny name.
    """
    bits = 0
    if bucket is Bucket.UNKNOWN:
        bits |= Refusal.UNKNOWN_CLASS
    if bucket is Bucket.SIP:
        bits |= Refusal.SIP_ONLY
    if listed_do_not_trade:
        bits |= Refusal.DO_NOT_TRADE
    if stale:
        bits |= Refusal.STALE_DATA
    if bad_quality:
        bits |= Refusal.BAD_QUALITY
    if bucket is Bucket.PENNY:
        if not adv >= clamps.penny_adv:
            bits |= Refusal.PENNY_ADV
        if not price >= clamps.penny_price:
            bits |= Refusal.PENNY_PRICE
    return int(bits)


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
