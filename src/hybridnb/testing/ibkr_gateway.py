"""What a stub IB Gateway answers to each message; no sockets here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hybridnb.testing import ibkr_messages as tws
from hybridnb.testing.exchange import REJECTED, WORKING, Resting
from hybridnb.testing.ibkr_market import ACCOUNT, Market, Peer
from hybridnb.testing.ibkr_messages import Malformed, Request, error, frame


class Gateway(Market):
    """What each request of a client gets for an answer; see `Market` for its parameters."""

    # What clients ask, by the number of the message.

    def answer(self, peer: Peer, fields: Sequence[str]) -> bool:
        """Answer a request; False: the client is to be cut off."""
        self.log.append(list(fields))
        answers: dict[str, Callable[[Peer, Sequence[str]], bool | None]] = {
            "1": lambda peer, fields: self.feeds.subscribe(
                peer, fields, self._symbol(fields, at=3)
            ),
            "2": self.feeds.cancel,
            "3": self._place,
            "4": self._cancel,
            "5": lambda peer, _: self._open_orders(peer, mine=True),
            "6": self._account,
            "7": self._executions,
            "8": self._next_id,
            "15": lambda peer, fields: None,
            "16": lambda peer, _: self._open_orders(peer, mine=False),
            "20": lambda peer, fields: self.feeds.past(peer, fields, self._symbol(fields, at=2)),
            "49": lambda peer, _: peer.send(frame(49, 1, int(self._clock()))),
            "58": self._cancel_all,
            "59": lambda peer, fields: self.feeds.choose(peer, int(fields[2])),
            "61": self._positions,
            "64": lambda peer, fields: None,
            "71": self._start,
            "99": self._completed,
        }
        asked = answers.get(fields[0])
        if asked is None:
            peer.send(error(-1, 503, f"The TWS is out of date: message {fields[0]}"))
            return True
        going = asked(peer, fields) is not False
        self._save()
        return going

    def _start(self, peer: Peer, fields: Sequence[str]) -> bool:
        client = int(fields[2])
        if any(other.client == client for other in self.peers):
            words = "Unable to connect as the client id is already in use. Retry with a unique one."
            peer.send(error(-1, 326, words))
            return False
        peer.client = client
        self.peers.append(peer)
        peer.send(frame(15, 1, ACCOUNT))
        self._next_id(peer, fields)
        peer.send(error(-1, 2104, "Market data farm connection is OK:usfarm"))
        return True

    def _next_id(self, peer: Peer, _: Sequence[str]) -> None:
        used = [o.owner["order"] for o in self._orders() if o.owner["client"] == peer.client]
        peer.send(frame(9, 1, max(used, default=0) + 1))

    def leave(self, peer: Peer) -> None:
        """The client is gone; its orders stay."""
        with self.lock:
            self.feeds.leave(peer)
            self._watching.discard(id(peer))
            if peer in self.peers:
                self.peers.remove(peer)

    def _orders(self) -> list[Resting]:
        return list(self.exchange.orders.values())

    def _open_orders(self, peer: Peer, *, mine: bool) -> None:
        for order in self.exchange.working:
            if not mine or order.owner["client"] == peer.client:
                peer.send(tws.open_order(order), tws.order_status(order))
        peer.send(frame(53, 1))

    def _completed(self, peer: Peer, _: Sequence[str]) -> None:
        done = [o for o in self._orders() if o.state not in (WORKING, REJECTED)]
        peer.send(*(tws.completed_order(order) for order in done), frame(102))

    def _account(self, peer: Peer, fields: Sequence[str]) -> None:
        if fields[2] == "1":
            cash, currency = tws.money(self.exchange.cash), self.exchange.currency
            values = [("AccountType", "INDIVIDUAL", ""), ("TotalCashValue", cash, currency)]
            rows = [frame(6, 2, tag, value, unit, ACCOUNT) for tag, value, unit in values]
            peer.send(*rows, frame(8, 1, "09:30"), frame(54, 1, ACCOUNT))

    def _positions(self, peer: Peer, _: Sequence[str]) -> None:
        self._watching.add(id(peer))
        peer.send(*(self._position(symbol) for symbol in self.exchange.holdings), frame(62, 1))

    def _symbol(self, fields: Sequence[str], *, at: int) -> str:
        """The exchange's symbol of the contract that begins at a field of a request."""
        name, currency = fields[at + 1], fields[at + 9]
        return name if currency == self.exchange.currency else f"{name}.{currency}"

    def _executions(self, peer: Peer, fields: Sequence[str]) -> None:
        for execution in self.exchange.executions:
            self._tell(peer, execution, request=int(fields[2]))
        peer.send(frame(55, 1, fields[2]))

    # Orders.

    def _place(self, peer: Peer, fields: Sequence[str]) -> bool | None:
        try:
            request = tws.read_order(fields)
        except Malformed as wrong:
            peer.send(error(-1, 320, str(wrong)))
            return None
        key = (peer.client, request.order_id)
        same = [o for o in self._orders() if (o.owner["client"], o.owner["order"]) == key]
        if same:
            self._amend(peer, same[-1], request)
            return None
        if self.exchange.faults[:1] in (["disconnect_before"], ["lost"]):
            return self.exchange.faults.pop(0) == "lost"
        order = self._book(peer, request)
        if order.fault == "disconnect":
            return False
        if order.state == REJECTED:
            peer.send(tws.open_order(order), tws.order_status(order))
            peer.send(error(request.order_id, 201, order.words))
        elif order.fault != "timeout":
            peer.send(tws.open_order(order), tws.order_status(order))
        return None

    def _book(self, peer: Peer, request: Request) -> Resting:
        name, currency = request.symbol, request.currency
        known = self._contract(name, currency)
        contract = [known[0], *request.contract[1:10], name, name]
        return self.exchange.place(
            request.ref,
            symbol=name if currency == self.exchange.currency else f"{name}.{currency}",
            side=request.side,
            quantity=request.quantity,
            type=request.type,
            limit=request.limit,
            stop=request.stop,
            owner={
                "client": peer.client,
                "order": request.order_id,
                "contract": contract,
                "tif": request.tif,
                "account": request.account or ACCOUNT,
                "ref": request.ref,
            },
        )

    def _amend(self, peer: Peer, order: Resting, request: Request) -> None:
        words, self.knobs["amend"] = self.knobs["amend"], ""
        if order.state != WORKING:
            peer.send(error(request.order_id, 104, "Cannot modify a filled order."))
        elif words:
            peer.send(error(request.order_id, 201, f"Order rejected - reason:{words}"))
        else:
            self.exchange.amend(
                order.order_id, quantity=request.quantity, limit=request.limit, stop=request.stop
            )
            peer.send(tws.open_order(order), tws.order_status(order))

    def _cancel(self, peer: Peer, fields: Sequence[str]) -> None:
        about = int(fields[2])
        key = (peer.client, about)
        same = [o for o in self._orders() if (o.owner["client"], o.owner["order"]) == key]
        if not same:
            words = f"OrderId {about} that needs to be cancelled is not found."
            peer.send(error(about, 10147, words))
        elif self.exchange.cancel(same[-1].order_id) is None:
            state = tws.status_of(same[-1])
            words = f"OrderId {about} that needs to be cancelled can not be cancelled, state: "
            peer.send(error(about, 10148, words + state))
        else:
            peer.send(tws.order_status(same[-1]), error(about, 202, "Order Canceled - reason:"))
        for order in same:
            self._release(peer, order)

    def _cancel_all(self, peer: Peer, fields: Sequence[str]) -> None:
        for order in self.exchange.working:
            self.exchange.cancel(order.order_id)
            for owner in self._owners(order):
                owner.send(tws.order_status(order))
