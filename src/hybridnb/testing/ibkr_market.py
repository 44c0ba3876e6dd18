"""The state behind a stub IB Gateway and the hand on its market; it outlives every client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

from hybridnb.testing import ibkr_messages as tws
from hybridnb.testing.exchange import Exchange, Execution, Held, Resting
from hybridnb.testing.ibkr_feed import Feeds

ACCOUNT = "DU1234567"


class Peer(Protocol):
    """A connected API client; `client` is its id, -1 before it has said one."""

    client: int

    def send(self, *messages: bytes) -> None:
        """Send messages, in this order."""

    def hang_up(self) -> None:
        """Cut the line."""


class Market:
    """An exchange, who is connected, and what was told of it.

    Parameters
    ----------
    exchange : Exchange
    file : Path or None
        Keeps the state; what it holds is taken over.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.exchange = exchange
        self.lock = threading.RLock()
        self.log: list[list[str]] = []
        self.knobs: dict[str, Any] = {"amend": "", "commissions": True, "mute": False}
        self.peers: list[Peer] = []
        self.feeds = Feeds()
        self._file, self._clock = file, clock
        self._times: dict[int, float] = {}
        self._corrected: dict[int, int] = {}
        self._withheld: list[Execution] = []
        self._watching: set[int] = set()  # clients that asked for positions, and hear of changes
        if file is not None and file.exists():
            state = json.loads(file.read_text(encoding="utf-8"))
            exchange.restore(state["exchange"])
            self._times = {int(n): at for n, at in state["times"].items()}
            self._corrected = {int(n): price for n, price in state["corrected"].items()}

    def _save(self) -> None:
        if self._file is not None:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self._state()), encoding="utf-8")
            fresh.replace(self._file)

    def _state(self) -> dict[str, Any]:
        exchange = self.exchange.dump()
        return {"exchange": exchange, "times": self._times, "corrected": self._corrected}

    def _release(self, peer: Peer, order: Resting) -> None:
        late = [e for e in self._withheld if e.order_id == order.order_id]
        self._withheld = [e for e in self._withheld if e not in late]
        for execution in late:
            self._tell(peer, execution)

    def _position(self, symbol: str) -> bytes:
        held = self.exchange.holdings.get(symbol, Held())
        # IB's average cost contains the commissions of opening.
        sign = 1 if held.quantity > 0 else -1
        cost = (held.cost + sign * held.fees) / (held.quantity or 1)
        name, _, currency = symbol.partition(".")
        contract = self._contract(name, currency or self.exchange.currency)
        return tws.position(ACCOUNT, contract, held.quantity, cost)

    def _told_position(self, symbol: str) -> None:
        """Those who asked for positions hear what this one is now."""
        for peer in self.peers:
            if id(peer) in self._watching:
                peer.send(self._position(symbol))

    @staticmethod
    def _contract(name: str, currency: str) -> list[Any]:
        number = crc32(f"{name} {currency}".encode()) % 1_000_000_000
        return [number, name, "STK", "", "0.0", "", "", "", currency, name, name]

    def _owners(self, order: Resting) -> list[Peer]:
        return [peer for peer in self.peers if peer.client == order.owner["client"]]

    def _tell(self, peer: Peer, execution: Execution, *, request: int = -1) -> None:
        order = self.exchange.orders[execution.order_id]
        at, number = self._times[execution.number], execution.number
        terms: list[tuple[int, int | None]] = [(1, None)]
        terms += [(2, self._corrected[number])] if number in self._corrected else []
        for revision, price in terms:
            peer.send(
                tws.exec_details(
                    order, execution, request=request, at=at, revision=revision, price=price
                )
            )
            if self.knobs["commissions"]:
                currency = self.exchange.currency
                peer.send(tws.commission_report(execution, currency, revision=revision))

    def trade(self, symbol: str, price: int, quantity: int) -> list[Execution]:
        """The market trades; clients that placed what filled are told."""
        with self.lock:
            done = self.exchange.trade(symbol, price, quantity)
            for execution in done:
                self._times[execution.number] = self._clock()
                order = self.exchange.orders[execution.order_id]
                if order.fault == "late":
                    self._withheld.append(execution)
                    continue
                for peer in self._owners(order):
                    for _ in range(2 if order.fault == "duplicate" else 1):
                        self._tell(peer, execution)
                        peer.send(tws.order_status(order, price=price))
            self.feeds.quote(symbol, {"last": price})
            if done:
                self._told_position(symbol)
            self._save()
            return done

    def correct(self, number: int, price: int) -> None:
        """An execution is told again with another price, as a correction."""
        with self.lock:
            execution = self.exchange.executions[number - 1]
            self._corrected[number] = price
            for peer in self._owners(self.exchange.orders[execution.order_id]):
                self._tell(peer, execution)

    def hold(self, symbol: str, quantity: int, price: int = 0) -> None:
        """Put units into the account that no order bought."""
        with self.lock:
            self.exchange.hold(symbol, quantity, price)
            self._told_position(symbol)
            self._save()

    def quote(self, symbol: str, **prices: int) -> None:
        """Prices change and nothing of ours trades: bid, ask, last or close, in 1/10,000."""
        with self.lock:
            self.feeds.quote(symbol, prices)

    def permit(self, permission: str) -> None:
        """What market data the login may have: live, delayed, none or competing."""
        with self.lock:
            self.feeds.permit(permission)

    def drop(self) -> None:
        """Cut every client off."""
        with self.lock:
            for peer in list(self.peers):
                peer.hang_up()
            self.peers.clear()

    def control(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a line of the control port says; see the server's text."""
        what = command.pop("do")
        with self.lock:
            if what == "set":
                unknown = command.keys() - self.knobs.keys()
                if unknown:
                    raise ValueError(f"nothing to set: {sorted(unknown)}")
                self.knobs |= command
            elif what == "fault":
                self.exchange.fault(**command)
            elif what == "state":
                return self._state()
            elif what in ("trade", "hold", "correct", "drop", "quote", "permit"):
                getattr(self, what)(**command)
            else:
                raise ValueError(f"nothing to do: {what!r}")
            self._save()
        return {}
