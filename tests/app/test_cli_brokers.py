"""The commands of the trading desk, against a running stub of each broker."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

pytest.importorskip("ib_async", reason="the optional package ib_async isn't installed")
pytest.importorskip("ccxt", reason="the optional package ccxt isn't installed")

from hybridnb.app import live_trading
from hybridnb.app.cli import cli
from hybridnb.app.home import home
from hybridnb.app.ledgers import open_ledger
from hybridnb.market import ibkr
from hybridnb.market.fetched import last_over
from hybridnb.testing import binance_server, ibkr_server
from hybridnb.testing.binance_api import KEY, SECRET, Api
from hybridnb.testing.exchange import Exchange
from hybridnb.testing.ibkr_gateway import Gateway

DRIVER = Path(__file__).with_name("commands_driver.py")
_SPEC = importlib.util.spec_from_file_location("commands_driver", DRIVER)
driver = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(driver)

Row = dict[str, Any]


class AtIbkr:
    """A hand on the stub gateway: units are shares."""

    kind = "ibkr"

    def __init__(self) -> None:
        self.gateway = Gateway(Exchange())

    @contextlib.contextmanager
    def serving(self) -> Iterator[Row]:
        with ibkr_server.running(self.gateway) as (port, _):
            yield {"port": port, "timeout_s": 5.0}

    def tell(self, bars: pd.DataFrame, port: Row) -> Row:
        """Have the history told; the section of the feed that asks for it."""
        for symbol, mine in bars.groupby("symbol"):
            days = mine["date"].str.replace("-", "")
            told = mine.assign(date=days).drop(columns="symbol").itertuples(index=False)
            self.gateway.feeds.history[str(symbol)] = [tuple(bar) for bar in told]
        return {"port": port["port"], "symbols": sorted(set(bars["symbol"])), "timeout_s": 5.0}

    def quote(self, symbol: str, price: int) -> None:
        self.gateway.quote(symbol, last=price)

    def trade(self, symbol: str, price: int, units: int) -> None:
        self.gateway.trade(symbol, price, units)

    def hold(self, symbol: str, units: int) -> None:
        self.gateway.hold(symbol, units, 1_000_000)

    def held(self) -> dict[str, int]:
        with self.gateway.lock:
            return {s: h.quantity for s, h in self.gateway.exchange.holdings.items()}

    def working(self, side: str, kind: str = "") -> dict[str, int]:
        """Units that orders of a side and a type still have to trade, by symbol."""
        with self.gateway.lock:
            mine = [o for o in self.gateway.exchange.working if o.side == side]
        return {o.symbol: o.left for o in mine if kind in ("", o.type)}

    def connected(self) -> bool:
        return bool(self.gateway.peers)

    def sent(self) -> int:
        return len(self.gateway.exchange.orders)


class AtCcxt:
    """A hand on the stub exchange: units are parts of a coin."""

    kind = "ccxt"

    def __init__(self) -> None:
        self.api = Api()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Row]:
        with binance_server.running(self.api) as server:
            unit = dict(driver.UNIT)
            yield {"base_url": server.url, "timeout_s": 5.0, "pause_ms": 0.0, "unit": unit}

    def tell(self, bars: pd.DataFrame, section: Row) -> Row:
        """Have the history told; the section of the feed that asks for it."""
        for symbol, mine in bars.groupby("symbol"):
            unit = Decimal(driver.UNIT[str(symbol)])
            self.api.days[str(symbol).replace("/", "")] = [
                [
                    int(pd.Timestamp(date, tz="UTC").timestamp() * 1000),
                    *(str(Decimal(str(price)) / unit) for price in prices),
                    str(Decimal(str(volume)) * unit),
                ]
                for date, *prices, volume in mine.drop(columns="symbol").itertuples(index=False)
            ]
        return {"base_url": section["base_url"], "unit": section["unit"], "days": 320}

    def quote(self, symbol: str, price: int) -> None:
        unit = Decimal(driver.UNIT[symbol])
        with self.api.lock:
            self.api.venue.last[symbol.replace("/", "")] = Decimal(price) / 10_000 / unit

    def trade(self, symbol: str, price: int, units: int) -> None:
        unit = Decimal(driver.UNIT[symbol])
        name, each = symbol.replace("/", ""), Decimal(price) / 10_000 / unit
        with self.api.lock:
            self.api.venue.trade(name, each, unit * units)

    def hold(self, symbol: str, units: int) -> None:
        coins = str(Decimal(driver.UNIT[symbol]) * units)
        with self.api.lock:
            self.api.control({"do": "hold", "coin": symbol[:3], "quantity": coins})

    def held(self) -> dict[str, int]:
        coins = self.api.venue.coins
        units = {s: int(coins.get(s[:3], Decimal(0)) / Decimal(u)) for s, u in driver.UNIT.items()}
        return {s: n for s, n in units.items() if n}

    def working(self, side: str, kind: str = "") -> dict[str, int]:
        found = {}
        with self.api.lock:
            mine = [o for o in self.api.venue.working() if o["side"] == side]
        for order in mine:
            if kind in ("", order["type"].removesuffix("_LOSS")):
                symbol = f"{order['symbol'][:3]}/{order['symbol'][3:]}"
                left = Decimal(order["origQty"]) - Decimal(order["executedQty"])
                found[symbol] = int(left / Decimal(driver.UNIT[symbol]))
        return found

    def connected(self) -> bool:
        return False  # each request stands alone

    def sent(self) -> int:
        return len(self.api.venue.orders)


class Desk:
    """Commands about one broker's account; each call is one command line."""

    def __init__(self, hand: AtIbkr | AtCcxt, section: Row, folder: Path) -> None:
        self.hand, self.kind = hand, hand.kind
        self.days = driver.upcoming(self.kind, 3)
        self.bars, self.params, self.section = folder / "bars.csv", folder / "params", section
        self.source: tuple[str, ...] = ("--data", str(self.bars))
        self.policy()
        self.prices: dict[str, int] = {}
        self.through(0)

    def policy(self, **values: Any) -> None:
        """Write the folder of parameters, with sections of the policy of one's own."""
        driver.write_params(self.params, self.kind, self.section, **values)

    def through(self, n: int) -> None:
        """The feed has every bar before the `n`th of the sessions to come."""
        before = driver.calendar.previous_session(driver.CALENDAR[self.kind], self.days[n])
        self.prices = driver.write_bars(self.bars, self.kind, before, self.days[-1])
        for symbol, price in self.prices.items():
            self.hand.quote(symbol, price)

    def words(self, command: str, n: int, *more: str) -> list[str]:
        date = self.days[n].strftime("%Y-%m-%d")
        given = ["--broker", self.kind, "--date", date, *self.source]
        return [command, *given, "--params", str(self.params), *more]

    def fetch(self) -> None:
        """From now on the bars are the broker's own, which end with a session that is over."""
        calendar = driver.CALENDAR[self.kind]
        settles = {"ibkr": ibkr.SETTLES, "ccxt": pd.Timedelta(0)}[self.kind]
        over = last_over(calendar, pd.Timestamp.now(tz="UTC") - settles)
        self.days = [driver.calendar.next_session(calendar, over)]
        bars = pd.read_csv(self.bars, dtype={"date": str})
        section = self.hand.tell(bars, self.section)
        (self.params / "feeds.yml").write_text(json.dumps({self.kind: section}))
        self.source = ("--feed", self.kind)

    def run(self, command: str, n: int, *more: str) -> tuple[int, Row, str]:
        """Exit code, the object on standard output, what people read."""
        done = CliRunner().invoke(cli, [*self.words(command, n, *more), "--json"])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, json.loads(done.stdout), done.stderr

    def trade(
        self, n: int, *, seconds: int = 2, doing: Callable[[], Any] | None = None
    ) -> tuple[int, Row, str]:
        """`trade`; meanwhile something is done ten times a second, by default: all prices trade."""
        over = threading.Event()

        def living() -> None:
            while not over.wait(0.1):
                (doing or self.fill)()

        with ThreadPoolExecutor(1) as pool:
            life = pool.submit(living)
            try:
                answer = self.run("trade", n, "--for", str(seconds))
            finally:
                over.set()
            life.result()
            return answer

    def fill(self, share: float = 1.0) -> None:
        """Somebody trades whatever is on offer, at the last prices or a share of them."""
        for symbol, price in self.prices.items():
            tick = driver.TICKS[self.kind][symbol]
            self.hand.trade(symbol, round(price * share / tick) * tick, 100_000)

    def fall(self, share: float) -> None:
        """Last prices fall to a share of what they were; nobody trades."""
        for symbol, price in self.prices.items():
            tick = driver.TICKS[self.kind][symbol]
            self.hand.quote(symbol, round(price * share / tick) * tick)

    def stops(self) -> dict[str, int]:
        return self.hand.working("SELL", "STOP")

    def entries(self) -> dict[str, int]:
        return self.hand.working("BUY")

    @contextlib.contextmanager
    def trading(self, n: int) -> Iterator[subprocess.Popen[str]]:
        """`trade` in another process, which is killed when the block ends."""
        words = self.words("trade", n, "--for", "60")
        command = [sys.executable, str(DRIVER), *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(params=[AtIbkr, AtCcxt], ids=["ibkr", "ccxt"])
def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    monkeypatch.setenv("HYBRIDNB_CCXT_KEY", KEY)
    monkeypatch.setenv("HYBRIDNB_CCXT_SECRET", SECRET)
    for name, value in driver.STANDS_FOR.items():
        monkeypatch.setattr(live_trading, name, value)
    hand = request.param()
    with hand.serving() as section:
        yield Desk(hand, section, tmp_path)


def rows(kind: str, **match: str) -> list[Row]:
    return list(open_ledger().rows("session", kind=kind, **match))


def said(*words: str) -> None:
    """An operator's command."""
    assert CliRunner().invoke(cli, [*words, "--reason", "news"]).exit_code == 0


def until(process: subprocess.Popen[str], true: Callable[[], Any]) -> None:
    """Wait for a fact about what another process does."""
    end = time.monotonic() + 40.0
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, rows("alert")
        time.sleep(0.05)


def test_an_account_from_its_first_session_to_an_adoption_and_on(desk: Desk) -> None:
    hand = desk.hand
    code, done, text = desk.trade(0)
    assert code == 0, text
    assert (done["session"], done["broker"]) == (f"{desk.days[0]:%Y-%m-%d}", desk.kind)
    held = hand.held()
    assert held and done["fills"] >= len(held)
    assert desk.stops() == held, "each position has its stop, of its size, at the venue"
    assert rows("alert") == []
    assert desk.run("trade", 0, "--for", "3")[1] == done, "a session that is over is told"

    desk.through(1)
    code, found, text = desk.run("reconcile", 1)
    assert (code, found["differences"]) == (0, []), text
    assert {s: n["theirs"] for s, n in found["positions"].items()} == held
    assert all(n["ours"] == n["theirs"] for n in found["positions"].values())

    symbol = sorted(held)[0]
    hand.hold(symbol, 3)  # bought by hand
    code, found, text = desk.run("reconcile", 1)
    assert code == 3
    (wrong,) = found["differences"]
    assert (wrong["symbol"], wrong["what"]) == (symbol, "quantity")
    assert found["positions"][symbol] == {"ours": held[symbol], "theirs": held[symbol] + 3}
    assert symbol in text and "remedy: " in text and "hybridnb adopt" in found["remedy"]
    sent = hand.sent()
    code, refused, text = desk.run("trade", 1, "--for", "3")
    assert code == 3 and "differ" in refused["message"] and "hybridnb adopt" in refused["remedy"]
    assert hand.sent() == sent and rows("order", session=f"{desk.days[1]:%Y-%m-%d}") == []

    code, adopted, text = desk.run("adopt", 1, "--reason", "bought by hand")
    assert code == 0, text
    assert all(n["ours"] == n["theirs"] for n in adopted["positions"].values())
    assert desk.stops() == held | {symbol: held[symbol] + 3}
    assert len(adopted["working"]) == len(desk.stops()) * (2 if desk.kind == "ibkr" else 1)
    assert [row["reason"] for row in rows("adopted")] == ["bought by hand"]

    desk.through(2)
    code, found, text = desk.run("reconcile", 2)
    assert (code, found["differences"]) == (0, []), text
    code, done, text = desk.trade(2)
    assert code == 0, text
    assert desk.stops() == hand.held()


def test_a_session_is_decided_on_the_brokers_own_bars(desk: Desk) -> None:
    desk.fetch()
    code, done, text = desk.trade(0)
    assert code == 0, text
    assert desk.stops() == desk.hand.held() != {} and done["fills"] >= len(desk.hand.held())
    (inputs,) = rows("inputs")
    assert inputs["feed"] == desk.kind and inputs["data_through"] < f"{desk.days[0]:%Y-%m-%d}"
    kept = list((home().root / "data").glob(f"{desk.kind}-*.parquet"))
    assert len(kept) == 1, "asked for once"


def test_operators_reach_a_session_of_another_process_and_outlive_it(desk: Desk) -> None:
    hand, (first, second, *_) = desk.hand, sorted(desk.prices)
    word = {"ibkr": "halt", "ccxt": "cancel-all"}[desk.kind]  # both halt: one at each
    with desk.trading(0) as process:
        until(process, lambda: desk.entries().keys() == desk.prices.keys())
        said("cancel-all", "--symbol", second)
        until(process, lambda: desk.entries().keys() == desk.prices.keys() - {second})
        hand.trade(first, desk.prices[first], 20)
        until(process, lambda: desk.stops() == {first: 20})
        assert first in desk.entries()
        said(word)
        until(process, lambda: not desk.entries() and desk.stops() == {first: 20})
        assert hand.held() == {first: 20}
        code, locked, _ = desk.run("reconcile", 0)
        assert code == 3 and "process" in locked["message"], "one process trades at a time"
    while hand.connected():
        time.sleep(0.05)
    said("resume")
    said("reduce")
    sent = hand.sent()
    code, _, text = desk.run("trade", 0, "--for", "1")
    assert code == 0, text
    assert hand.held() == {first: 20} == desk.stops() and not desk.entries()
    assert hand.sent() == sent, "nothing is sent twice"
    asked = [(row["action"], row["symbol"]) for row in rows("operator")]
    assert asked == [("cancel-all", second), (word, ""), ("resume", ""), ("reduce", "")]
    withdrawn = [row for row in rows("order") if row["state"] == "cancelled"]
    assert withdrawn and all(row["leg"] == "entry" for row in withdrawn), "stops stay"
    (closing,) = rows("session_closed")
    assert closing["snapshot"]["risk"]["state"] == "REDUCING"


def test_the_switch_trips_on_the_venues_prices_and_closes_at_the_venue(desk: Desk) -> None:
    desk.policy(risk={"kill_day_pnl": -0.0005})
    hand, steps = desk.hand, iter(("fill", "fall", "leave"))
    step = next(steps)

    def market() -> None:
        nonlocal step
        if step == "fill":  # entries are sent one after another: some may come later
            desk.fill()
            filled = hand.held().keys() == desk.prices.keys() and not desk.entries()
            step = next(steps) if filled else step
        elif step == "fall" and desk.stops() == hand.held():
            desk.fall(0.95)
            step = next(steps)
        elif step == "leave" and hand.working("SELL", "MARKET") == hand.held():
            desk.fill(0.95)

    code, done, text = desk.trade(0, seconds=12, doing=market)
    assert code == 0, text
    assert hand.held() == {} and done["fills"] >= 2 * len(desk.prices)
    tripped = next(row for row in rows("mark") if row["killed"])
    assert tripped["at"] == "live", "not first at the close"
    assert {row["exit_leg"] for row in rows("trade")} == {"flatten"}
    assert sum("Kill-switch armed" in row["text"] for row in rows("alert")) == 1


@pytest.mark.parametrize("desk", [AtIbkr], ids=["ibkr"], indirect=True)
def test_without_market_data_it_enters_nothing_and_the_ledger_says_so_once(desk: Desk) -> None:
    desk.hand.gateway.permit("none")
    code, _, text = desk.trade(0, seconds=2)
    assert code == 0, text
    assert desk.hand.held() == {} and desk.hand.sent() == 0
    assert {tuple(row["refusals"]) for row in rows("order", state="rejected")} == {("STALE_DATA",)}
    (alert,) = rows("alert")
    assert "no market data" in alert["text"] and "354" in alert["text"]
    assert all(symbol in alert["text"] for symbol in desk.prices)
    assert {row["at"] for row in rows("mark")} == {"open", "close"}


def test_without_the_broker_nothing_is_begun(desk: Desk) -> None:
    desk.section |= {"port": 1} if desk.kind == "ibkr" else {"base_url": "http://127.0.0.1:1"}
    desk.policy()
    for command in (("reconcile",), ("trade",), ("adopt", "--reason", "x")):
        code, told, text = desk.run(command[0], 0, *command[1:])
        assert code == 4 and "run the command again" in told["remedy"] and told["remedy"] in text
    assert open_ledger().count("session") == 0
