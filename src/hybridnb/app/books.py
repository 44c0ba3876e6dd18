"""Books: which one a feed and its data belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hybridnb.ledger.store import Ledger

if TYPE_CHECKING:
    from hybridnb.app.context import Context


def find_book(ledger: Ledger, context: Context, broker: str = "") -> str:
    """The book that this feed and data belong to: a known one, or a new one's name."""
    from hybridnb.market.assemble import digest  # the dashboard never needs what reads bars

    market = context.market
    last = {
        row["book"]: row
        for row in ledger.rows("session", kind="inputs")
        if row["feed"] == market.feed and row.get("broker", "") == broker
    }
    for book, row in last.items():
        # A session that was traded through a broker had no bars of its own yet.
        upto = context.history["session"] <= pd.Timestamp(row.get("data_through", row["session"]))
        if digest(context.history[upto]) == row["data_digest"]:
            return str(book)
    return "-".join([market.feed, market.digest[:8], *([broker] if broker else [])])
