"""The line to IB Gateway: settings, one connection on a loop of its own, and what breaks it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Annotated, Any, Literal, TypeVar

from ib_async import IB, ExecutionFilter, Fill, Order, Position, StartupFetch, Stock, Trade
from pydantic import Field

from hybridnb.errors import BrokerDown
from hybridnb.policy import Params, Positive

T = TypeVar("T")
_FETCH = (
    StartupFetch.POSITIONS
    | StartupFetch.ORDERS_OPEN
    | StartupFetch.ORDERS_COMPLETE
    | StartupFetch.ACCOUNT_UPDATES
    | StartupFetch.EXECUTIONS
)
_DATA_LOST = 1101  # found again, without the market data that was asked for
# The gateway lost IB's servers, or found them again: orders and answers of the meantime are stale.
_SEVERED, _RESTORED = frozenset({1100, 2110}), frozenset({1101, 1102})


class IbkrSettings(Params):
    """Where the gateway listens and as whom we speak to it."""

    host: str = Field("127.0.0.1", description="host of IB Gateway or TWS")
    port: Annotated[int, Field(gt=0, lt=65536)] = Field(
        4002, description="4002: gateway, paper; 4001: gateway, live; 7497, 7496: TWS"
    )
    client_id: Annotated[int, Field(ge=1, lt=2**31)] = Field(
        1, description="orders belong to the client that placed them: keep it the same"
    )
    account: str = Field("", description="account; empty: the only one of this login")
    timeout_s: Positive = Field(10.0, description="seconds after which an answer isn't coming")
    market_data_type: Literal[1, 2, 3, 4] = Field(
        1, description="1: live; 2: live, the last ones when closed; 3, 4: the same, else delayed"
    )


class Line:
    """A connection that lives on its own event loop and thread; calls block the caller.

    A call begins by taking in everything that was sent to us before it. It connects again where
    the line broke: open orders, today's executions and what was completed are then asked for
    afresh. `said` keeps the last error about an order's or a request's id. `epoch` counts how often
    the gateway forgot, or lost, the market data that was asked for.

    Raises
    ------
    BrokerDown
        From every call while there is no connection, or when it breaks during the call.
    """

    def __init__(self, settings: IbkrSettings) -> None:
        self.settings = settings
        self.words = ""
        self.said: dict[int, tuple[int, str]] = {}
        self.epoch = 0
        library = logging.getLogger("ib_async")
        if not library.handlers:  # what it logs is for those who configure logging, not for stderr
            library.addHandler(logging.NullHandler())
        self._turn = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="ibkr", daemon=True)
        self._thread.start()
        self._ib: IB | None = None
        try:
            self.call(self._nothing)
        except BaseException:
            self.close()
            raise

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _nothing(self) -> None:
        """Only connect."""

    @property
    def ib(self) -> IB:
        """The library's client; only to be used on the line's loop."""
        if self._ib is None or not self._ib.isConnected():
            raise ConnectionError("no connection")
        return self._ib

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work` on the loop, connected; what breaks the line becomes `BrokerDown`."""
        if not self._thread.is_alive():
            raise BrokerDown("the connection to IB Gateway was closed")
        future = asyncio.run_coroutine_threadsafe(self._connected(work), self._loop)
        try:
            return future.result()
        except (OSError, TimeoutError) as error:  # ConnectionError is an OSError
            where = f"IB Gateway at {self.settings.host}:{self.settings.port}"
            said = "; ".join(w for w in (str(error) or "no answer in time", self.words) if w)
            raise BrokerDown(
                f"{where}: {said}",
                remedy=(
                    f"Start IB Gateway, log in, allow API clients on port {self.settings.port} "
                    f"(client id {self.settings.client_id} must be free), then run the command "
                    "again: it reconciles first."
                ),
            ) from error

    async def _connected(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._turn:
            return await self._in_turn(work)

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            try:
                await self.catch_up()
            except OSError:  # it broke while nobody looked: nothing of ours was on its way
                await self._connect()
            if self._severed:
                raise ConnectionError("the gateway is cut off from IB")
            return await work()
        except TimeoutError:
            self._drop()  # a gateway that doesn't answer a question isn't one to send orders to
            raise

    async def _connect(self) -> None:
        self._drop()
        self.words, self.said, self._severed = "", {}, False
        self._moved, self._held_back = asyncio.Event(), False
        self.epoch += 1
        self._ib = ib = IB()
        ib.updateEvent += self._wake
        ib.disconnectedEvent += self._wake
        ib.errorEvent += self._heard
        ib.client.throttleStart += self._hold_back
        ib.client.throttleEnd += self._go_on
        settings = self.settings
        with ExitStack() as undo:  # whatever cuts this short, a time limit too
            undo.callback(self._drop)
            await ib.connectAsync(
                host=settings.host,
                port=settings.port,
                clientId=settings.client_id,
                timeout=settings.timeout_s,
                account=settings.account,
                raiseSyncErrors=True,
                fetchFields=_FETCH,
            )
            await self.open_trades()  # at its start the library asks for this client's own only
            undo.pop_all()

    def _wake(self, *_: object) -> None:
        self._moved.set()

    def _hold_back(self) -> None:
        self._held_back = True

    def _go_on(self) -> None:
        self._held_back = False

    def _heard(self, about: int, code: int, words: str, _contract: object) -> None:
        if (
            about != -1
        ):  # an id of an order or a request: the library keeps no words of one it takes for done
            self.said[about] = (code, words)
            return
        self._severed = (self._severed or code in _SEVERED) and code not in _RESTORED
        self.epoch += code == _DATA_LOST
        if code in _RESTORED:
            self.words = ""
        elif code in _SEVERED or not 2100 <= code < 2200:  # those say how data farms are
            self.words = f"error {code}: {words}"

    def _drop(self) -> None:
        ib, self._ib = self._ib, None
        if ib is not None:
            ib.updateEvent -= self._wake
            ib.disconnectedEvent -= self._wake
            if ib.client.conn.transport is not None:
                ib.client.conn.transport.abort()
            if ib.isConnected():
                ib.disconnect()

    async def until(self, done: Callable[[], bool]) -> bool:
        """Wait for what the gateway tells; False when the time is over.

        The time begins anew while the library holds messages back, above IB's limit a second.

        Raises
        ------
        ConnectionError
            When the connection breaks meanwhile.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.timeout_s
        while True:
            if self._ib is None or not self._ib.isConnected():
                raise ConnectionError("the connection broke before the answer came")
            if done():
                return True
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), max(0.0, end - loop.time()))
            except TimeoutError:
                if not self._held_back:
                    return done()
                end = loop.time() + self.settings.timeout_s

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question that the gateway must answer."""
        answer = asyncio.ensure_future(question())
        try:
            if not await self.until(answer.done):
                raise TimeoutError
        except BaseException:
            answer.cancel()
            if answer.done() and not answer.cancelled():
                answer.exception()  # that the line broke was said once
            raise
        return answer.result()

    async def catch_up(self) -> None:
        """Everything sent to us before now has been taken in when this returns."""
        await self.ask(self.ib.reqCurrentTimeAsync)

    async def open_trades(self) -> list[Trade]:
        """All open orders of the account, those of other clients and of people included."""
        return list(await self.ask(self.ib.reqAllOpenOrdersAsync))

    async def executions(self) -> list[Fill]:
        """Executions the gateway remembers: at least today's."""
        return list(await self.ask(lambda: self.ib.reqExecutionsAsync(ExecutionFilter())))

    async def positions(self, account: str) -> list[Position]:
        """Positions of an account; its cash is fresh when this returns."""
        positions = await self.ask(self.ib.reqPositionsAsync)
        client: Any = self.ib.client
        client.reqAccountUpdates(False, account)  # a subscription asked for twice says nothing
        await self.ask(lambda: self.ib.reqAccountUpdatesAsync(account))
        # One that changes meanwhile is told twice.
        last = {p.contract.conId: p for p in positions if p.account == account}
        return list(last.values())

    def place(self, contract: Stock, order: Order) -> Trade:
        """Send a new order, or new terms of the order with this id."""
        return self.ib.placeOrder(contract, order)

    def close(self) -> None:
        """Hang up and end the loop; safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._hang_up)
            self._thread.join()
            self._loop.close()

    def _hang_up(self) -> None:
        self._drop()
        self._loop.call_later(0.05, self._loop.stop)  # the transport's last callbacks run first
