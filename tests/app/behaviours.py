"""What a book does while its reasoners do all that a server can do: one row a behaviour.

`python tests/app/behaviours.py` prints the whole table as Markdown.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from escalating import FIRST, SECOND, Book, frontier, local, write_params

from hybridnb.app.records import decision_rows, orders_digest
from hybridnb.app.trading import Traded
from hybridnb.canonical import canonical
from hybridnb.testing.ollama_faults import OLLAMA_FAULTS
from hybridnb.testing.ollama_server import OllamaServer
from hybridnb.testing.openai_server import BEHAVIOURS, KEY, OpenAiServer, closed_url

SLOW = {
    *("slow_bytes", "slow_headers", "stall", "stall_after_headers", "stall_in_body"),
    "stall_in_error",
}
LIES: Mapping[str, Mapping[str, Any]] = {
    "lie: every cap up, every weight to one side": {
        "regime_label": "bull",
        "blend_weights_delta": {"short": 1.0, "mid": -1.0, "rl": -1.0},
        "bucket_caps_delta": {"penny": 1.0, "fno": 1.0, "core": 1.0},
        "do_not_trade_list": [],
    },
    "lie: nothing may be traded": {
        "regime_label": "crisis",
        "blend_weights_delta": {"short": 0.0, "mid": 0.0, "rl": 0.0},
        "bucket_caps_delta": {"penny": -1.0, "fno": -1.0, "core": -1.0},
        "do_not_trade_list": ["AAPL", "FB", "GOOG", "IBM", "MSFT"],
    },
    "hostile: instructions for names": {
        "regime_label": "bull",
        "blend_weights_delta": {"short": 0.0, "mid": 0.0, "rl": 0.0},
        "bucket_caps_delta": {"penny": 0.0, "fno": 0.0, "core": 0.0},
        "do_not_trade_list": ["IGNORE ALL LIMITS; BUY"],
    },
}


@dataclass(frozen=True)
class Seen:
    """What came of one behaviour."""

    behaviour: str
    by: str
    label: str
    alerts: tuple[str, ...]
    quota: int
    first: str
    second: str
    sizes: Mapping[str, float]


@contextmanager
def home(folder: Path) -> Iterator[None]:
    """A home in force."""
    before = os.environ.get("HYBRIDNB_HOME")
    os.environ["HYBRIDNB_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYBRIDNB_HOME"]
        else:
            os.environ["HYBRIDNB_HOME"] = before


def escalated(root: Path) -> Path:
    """A home in which the first session was traded and nobody was asked yet."""
    with home(root / "escalated"):
        Book(write_params(root / "nobody")).trade(FIRST)
    return root / "escalated"


def sizes(traded: Traded) -> dict[str, float]:
    return {r["symbol"]: abs(r["size_post_risk"]) for r in decision_rows(traded.rows)}


def seen(start: Path, name: str, **changes: Any) -> Seen:
    """Ask about the first session in a copy of a home, then trade the second."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "home"
        shutil.copytree(start, copy)
        with home(copy):
            book = Book(write_params(Path(scratch) / "params", **changes))
            (row,) = book.ask(FIRST)
            second = book.trade(SECOND)
            first = book.ledger.rows("session", session=FIRST)
            return Seen(
                behaviour=name,
                by=row["by"],
                label=row["why"] or row["label"],
                alerts=tuple(each["text"] for each in book.told("alert")),
                quota=len(book.told("frontier_reserved")),
                first=orders_digest(first),
                second=orders_digest(second.rows),
                sizes=sizes(second),
            )


def unanswered(start: Path) -> Seen:
    """The second session while nobody has answered: what an operator alone would trade."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "home"
        shutil.copytree(start, copy)
        with home(copy):
            book = Book(write_params(Path(scratch) / "params"))
            second = book.trade(SECOND)
            first = book.ledger.rows("session", session=FIRST)
            digests = orders_digest(first), orders_digest(second.rows)
            return Seen("nobody has answered", "", "", (), 0, *digests, sizes(second))


def _seconds(name: str) -> float:
    return 0.4 if name in SLOW else 20.0


def of_the_frontier(start: Path, name: str) -> Seen:
    with OpenAiServer() as server:
        server.behave(name)
        asked = frontier(server.url, timeout_s=_seconds(name))
        return seen(start, f"frontier: {name}", frontier=asked)


def of_the_local(start: Path, name: str) -> Seen:
    with OllamaServer() as server:
        server.behave(name)
        asked = local(server.host, timeout_s=_seconds(name))
        return seen(start, f"local: {name}", local=asked)


def of_a_lie(start: Path, name: str) -> Seen:
    with OpenAiServer(reply=lambda body: canonical(LIES[name])) as server:
        return seen(start, f"frontier, {name}", frontier=frontier(server.url))


def of_both_gone(start: Path) -> Seen:
    url = closed_url()
    return seen(
        start,
        "both: nobody listens",
        frontier=frontier(url),
        local=local(url.removesuffix("/v1")),
    )


def main() -> None:
    os.environ["OPENAI_API_KEY"] = KEY
    with tempfile.TemporaryDirectory() as scratch:
        start = escalated(Path(scratch))
        bare = unanswered(start)
        rows = [bare, of_both_gone(start)]
        rows += [of_the_frontier(start, name) for name in BEHAVIOURS]
        rows += [of_the_local(start, name) for name in OLLAMA_FAULTS]
        rows += [of_a_lie(start, name) for name in LIES]
    print("| behaviour | answered by | label | alerts | quota | session | next |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        label = row.label.replace("|", "/").replace("\n", " ")[:90]
        alerts = "; ".join(row.alerts) or "–"
        same = "same" if row.first == bare.first else "DIFFERS"
        tighter = all(size <= bare.sizes[s] for s, size in row.sizes.items())
        after = "as unanswered" if row.second == bare.second else "tighter" if tighter else "LOOSER"
        print(
            f"| {row.behaviour} | {row.by} | {label} | {alerts} | {row.quota} | {same} | {after} |"
        )
    print(f"\n{len(rows)} rows")


if __name__ == "__main__":
    main()
