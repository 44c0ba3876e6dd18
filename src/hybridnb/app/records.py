"""Session rows: what a step writes into the session chain, in one place and one shape.

Every row has kind, book, session and n (its number within the session). No wall-clock time, run
id, duration or path ever enters, so that the same inputs give the same rows.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnb.app.logs import log_rows
from hybridnb.app.panel import Day
from hybridnb.app.state import State
from hybridnb.canonical import plain, sha256
from hybridnb.decide import DECISION, INPUT
from hybridnb.domain import Action, Bound, Fill, Leg, Mode, Order, OrderState, refusal_names
from hybridnb.limits import BUCKETS, Limits
from hybridnb.reasons import reasons
from hybridnb.risk import RiskState

Sink = Callable[[Sequence[Mapping[str, Any]]], None]
Encode = Callable[[Any], dict[str, Any]]
RAW = ("short_raw", "mid_raw")  # predictors' outputs before they were ranked
EACH = 200  # names up to which every decision has a row of its own
ACTION_NAMES = {0: Action.HOLD, 1: Action.BUY, -1: Action.SELL}


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed trade as the trade log shows it; money in 1/10,000."""

    timestamp: str
    mode: Mode
    symbol: str
    direction: str
    quantity: int
    size_pre: float
    size_post_risk: float
    entry_price: float
    exit_price: float
    pnl: int
    exit_leg: Leg
    reason_tags: tuple[str, ...]
    policy_id: str
    experiment_id: str
    model_version: str
    order_id: str
    decision_id: str


class Recorder:
    """Collects a session's rows; `sink` receives all rows so far at each commit.

    Parameters
    ----------
    book, session : str
    stamp : mapping
        Policy, experiment and model ids: on every decision.
    sink : callable or None
        None keeps the rows in memory only, for backtests.
    rows : sequence of mapping
        What the session has recorded already, when it goes on.
    detail : callable or None
        `(symbol) -> mapping` of what a decision was made from, stored with it for `explain`.
    compact : bool
        Decisions share one row however few they are: most of a step's time goes into theirs.
    """

    def __init__(
        self,
        *,
        book: str,
        session: str,
        stamp: Mapping[str, Any],
        sink: Sink | None = None,
        detail: Callable[[str], Mapping[str, Any]] | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
        compact: bool = False,
    ) -> None:
        self.compact = compact
        self._rows: list[dict[str, Any]] = [dict(row) for row in rows]
        self._logged = len(self._rows)
        self._waiting: list[tuple[str, Any, Encode]] = []  # recorded, not yet written as a row
        self._book, self._session, self._stamp = book, session, dict(stamp)
        self._sink, self._detail = sink, detail

    def decision_id(self, symbol: str) -> str:
        """A decision's id: book, session, symbol."""
        return f"{self._book}-{self._session}-{symbol}"

    def add(self, kind: str, **payload: Any) -> None:
        """One row; the payload is reduced to its canonical values at once."""
        self._waiting.append((kind, plain(payload), dict))

    def _later(self, kind: str, value: Any, encode: Encode = plain) -> None:
        """One row of a value that can't change any more: it is encoded when rows are asked for."""
        self._waiting.append((kind, value, encode))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        if self._waiting:
            first, same = len(self._rows), {"book": self._book, "session": self._session}
            self._rows += [
                {"kind": kind, **same, "n": n, **encode(value)}
                for n, (kind, value, encode) in enumerate(self._waiting, first)
            ]
            self._waiting.clear()
        return self._rows

    def commit(self) -> None:
        """Make everything so far durable."""
        if self._sink is not None:
            self._sink(self.rows)
            self._logged = log_rows(self.rows, self._logged)

    def opening(self, equity: int, risk: RiskState, **facts: Any) -> None:
        self.add(
            "session_opened",
            equity=equity,
            mode=risk.mode,
            state=risk.state,
            quarantined=risk.quarantined,
            **facts,
            **self._stamp,
        )

    def decision(self, payload: Mapping[str, Any]) -> None:
        extra = self._detail(payload["symbol"]) if self._detail else {}
        self.add("decision", **payload, **self._stamp, **extra)

    def universe(self, day: Day, lim: Limits, rows: NDArray[Any], decisions: NDArray[Any]) -> None:
        """All decisions of a large universe in one row; the arrays must not change after."""
        given, stamp = (day, lim, rows, decisions), self._stamp
        self._later("universe", given, lambda each: _shared(each) | dict(plain(stamp)))

    def order(self, order: Order) -> None:
        self._later("order", order)

    def fill(self, fill: Fill) -> None:
        self._later("fill", fill)

    def trade(self, trade: Trade) -> None:
        self._later("trade", trade)

    def alert(self, text: str) -> None:
        self.add("alert", text=text)

    def sip(self, accrued: int, carry: int) -> None:
        self.add("sip", accrued=accrued, carry=carry)

    def mark(self, *, at: str, equity: int, day_pnl: float | None, risk: RiskState) -> None:
        self.add(
            "mark", at=at, equity=equity, day_pnl=day_pnl, killed=risk.killed, state=risk.state
        )

    def closing(self, *, state: State, **figures: Any) -> None:
        self._later("session_closed", {**figures, "snapshot": state})


def record_decisions(
    record: Recorder, day: Day, lim: Limits, rows: NDArray[Any], decisions: NDArray[Any]
) -> None:
    """Every decision with its inputs, terms, sizes, bound, refusals and reasons, by symbol.

    In a universe of more than `EACH` names they share one row, in columns: `decision_rows`
    reads both forms alike.
    """
    if len(rows) > EACH or record.compact:
        record.universe(day, lim, rows, decisions)
        return
    outputs = np.stack([day.columns[name] for name in RAW])
    for i, symbol in enumerate(day.symbols):
        payload = _decision_row(record.decision_id(symbol), symbol, lim, rows[i], decisions[i])
        raw = dict(zip(RAW, outputs[:, i].tolist(), strict=True))
        record.decision(payload | {"raw": raw})


def _shared(given: tuple[Day, Limits, NDArray[Any], NDArray[Any]]) -> dict[str, Any]:
    day, lim, rows, decisions = given
    outputs = np.stack([day.columns[name] for name in RAW])
    columns = {"inputs": rows, "figures": decisions, "raw": outputs}
    packed = {name: b64encode(part.tobytes()).decode() for name, part in columns.items()}
    shared = {"count": len(rows), "symbols": "\n".join(day.symbols), "limits": lim._asdict()}
    return dict(plain(shared)) | packed


def decision_rows(rows: Iterable[Mapping[str, Any]], asked: str = "") -> list[Mapping[str, Any]]:
    """Every decision among session rows, each as a row of its own; or those of one id or symbol."""
    found: list[Mapping[str, Any]] = []
    for row in rows:
        if row["kind"] == "decision" and asked in ("", row["decision_id"], row["symbol"]):
            found.append(row)
        elif row["kind"] == "universe":
            found += _each(row, asked)
    return found


def _each(row: Mapping[str, Any], asked: str) -> Iterator[dict[str, Any]]:
    known: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in row["limits"].items()}
    lim = Limits(**known)
    given = np.frombuffer(b64decode(row["inputs"]), INPUT)
    figures = np.frombuffer(b64decode(row["figures"]), DECISION)
    raw = np.frombuffer(b64decode(row["raw"])).reshape(len(RAW), -1)
    columns = ("kind", "count", "symbols", "limits", "inputs", "figures", "raw")
    shared = {"kind": "decision"} | {k: v for k, v in row.items() if k not in columns}
    for i, symbol in enumerate(row["symbols"].split("\n")):
        decision_id = f"{row['book']}-{row['session']}-{symbol}"
        if asked not in ("", decision_id, symbol):
            continue
        made = _decision_row(decision_id, symbol, lim, given[i], figures[i])
        made |= {"raw": dict(zip(RAW, raw[:, i].tolist(), strict=True))}
        yield shared | dict(plain(made))


def _decision_row(decision_id: str, symbol: str, lim: Limits, row: Any, dec: Any) -> dict[str, Any]:
    values = {name: row[name].item() for name in INPUT.names or ()}
    given = {
        k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()
    }
    figures = {n: dec[n].item() for n in DECISION.names or () if n not in ("bound", "refused")}
    return {
        "decision_id": decision_id,
        "symbol": symbol,
        **figures,
        "action": ACTION_NAMES[int(dec["action"])],
        "bucket": BUCKETS[int(row["bucket"])],
        "bound": list(Bound)[int(dec["bound"])],
        "refusals": refusal_names(int(dec["refused"])),
        "ineligible": refusal_names(int(row["refused"])),
        "reasons": reasons(lim, row, dec),
        "inputs": given,
        "input_hash": sha256(given),
    }


def counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Decisions, orders sent (distinct client ids, without refused ones) and fills."""
    kinds = [row["kind"] for row in rows]
    sent = {
        row["client_id"]
        for row in rows
        if row["kind"] == "order" and row["state"] != OrderState.REJECTED
    }
    shared = sum(row["count"] for row in rows if row["kind"] == "universe")
    made = kinds.count("decision") + shared
    return {"decisions": made, "orders": len(sent), "fills": kinds.count("fill")}


def orders_digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 over the canonical JSON of a session's order events, in order."""
    return sha256([row for row in rows if row["kind"] == "order"])
