"""A broker's last prices as a session gets them; that one is missing is said once."""

from __future__ import annotations

from hybridnb.app.records import Recorder
from hybridnb.ports import Broker


class LivePrices:
    """Last prices by symbol, in 1/10,000; nothing from a broker that tells none.

    Without the price of a position the day's P&L has its last close instead: the kill switch then
    sees what fills realise and nothing else of it, until the feed has the session's bar. A symbol
    that the broker can't price is named in an alert, once.

    Parameters
    ----------
    broker : Broker
        May have `prices`, and `unpriced`: symbols without a price, each with the reason.
    record : Recorder
        Takes the alert.
    """

    def __init__(self, broker: Broker, record: Recorder) -> None:
        self._prices = getattr(broker, "prices", dict)
        self._unpriced = getattr(broker, "unpriced", dict)
        self._record = record
        self._told: set[str] = set()

    def __call__(self) -> dict[str, int]:
        """The prices that there are."""
        found: dict[str, int] = self._prices()
        missing: dict[str, str] = self._unpriced()
        new = {why: [s for s, w in missing.items() if w == why] for why in missing.values()}
        for why, symbols in new.items():
            named = [symbol for symbol in symbols if symbol not in self._told]
            if named:
                self._told.update(named)
                told = f"no market data of {', '.join(named)} ({why})"
                self._record.alert(f"{told}—the switch sees only its fills")
        return found
