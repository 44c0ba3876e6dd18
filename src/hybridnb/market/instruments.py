"""Which class a symbol belongs to, and what else must be known to trade it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field

from hybridnb.domain import Bucket, Instrument
from hybridnb.policy import Lists, Params

# From the tightest per-name limit to the widest: of two classes the earlier one holds.
_TIGHTEST = (Bucket.SIP, Bucket.PENNY, Bucket.FNO, Bucket.CORE)


class SymbolParams(Params):
    """One entry of `params/symbols.yml`; what is left out comes from the feed or the suffix."""

    bucket: Bucket | None = Field(None, description="PENNY, FNO, CORE or SIP")
    sector: str = Field("", description="for reports")
    currency: str = Field("", description="three letters; empty: the feed's")
    lot: int = Field(1, ge=1, description="units")
    tick: int = Field(1, ge=1, description="1/10,000 of the currency")
    multiplier: int = Field(1, ge=1, description="units of the underlying in a contract")
    delta: float = Field(1.0, ge=-1, le=1, description="of an option; 1 for everything else")
    margin_rate: float = Field(1.0, ge=0, le=1, description="margin as a share of exposure")


def classify(
    symbol: str,
    *,
    lists: Lists,
    sip_symbol: str,
    given: Bucket | None = None,
    default: Bucket = Bucket.UNKNOWN,
) -> Bucket:
    """The class of a symbol; of two the tighter, `default` without any.

    Parameters
    ----------
    given : Bucket or None
        What the user wrote for this symbol: one more class, not the last word.
    """
    claims = {
        Bucket.SIP: symbol == sip_symbol,
        Bucket.PENNY: symbol.endswith(".V"),
        Bucket.FNO: symbol in lists.fno,
        Bucket.CORE: symbol.endswith(".TO") or symbol in lists.core,
    }
    found = {bucket for bucket, holds in claims.items() if holds} | ({given} if given else set())
    return next((bucket for bucket in _TIGHTEST if bucket in found), default)


def instruments(
    symbols: Iterable[str],
    *,
    lists: Lists,
    sip_symbol: str,
    currency: str,
    given: Mapping[str, SymbolParams],
    default: Bucket = Bucket.UNKNOWN,
) -> dict[str, Instrument]:
    """Everything known of each symbol."""
    found = {}
    for symbol in sorted(symbols):
        params = given.get(symbol, SymbolParams())
        bucket = classify(
            symbol, lists=lists, sip_symbol=sip_symbol, given=params.bucket, default=default
        )
        found[symbol] = Instrument(
            symbol=symbol,
            bucket=bucket,
            currency=params.currency or currency,
            sector=params.sector,
            tick=params.tick,
            lot=params.lot,
            multiplier=params.multiplier,
            delta=params.delta,
            margin_rate=params.margin_rate,
        )
    return found
