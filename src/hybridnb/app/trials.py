"""Trials: every configuration that was tried on a feed, as the ledger remembers them.

The more were tried, the higher a Sharpe ratio is by chance; the gates deflate by their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from hybridnb import metrics
from hybridnb.app.context import Context
from hybridnb.app.history import History
from hybridnb.app.sweeping import FIGURES
from hybridnb.canonical import plain, sha256


def configuration(context: Context, policy: str) -> str:
    """What an analyst chose: another choice is another trial, other bars are not."""
    learning = context.learning.model_dump(mode="json")
    return sha256([context.market.feed, context.feature_set, learning, policy, context.seed])


def tried(context: Context) -> dict[str, float]:
    """Sharpe ratio a session of each configuration reviewed or swept on the feed, the first one's.

    NaN where it had none.
    """
    found: dict[str, float] = {}
    for name, annual in _recorded(context):
        value = math.nan if annual is None else annual / math.sqrt(metrics.YEAR)
        found.setdefault(name, value)
    return found


def _recorded(context: Context) -> Iterator[tuple[str, float | None]]:
    """Configuration and annual Sharpe ratio: of verdicts, then of trials."""
    ledger, feed = context.ledger(), context.market.feed
    for row in ledger.rows("operations", kind="verdict", feed=feed):
        figures = [f for g in row["gates"] for f in g["figures"] if f["name"] == "Sharpe"]
        yield row["digests"]["configuration"], figures[0]["value"]
    for row in ledger.rows("operations", kind="trial", feed=feed):
        yield row["configuration"], row["figures"]["sharpe"]


def record_trials(context: Context, rows: Sequence[Mapping[str, Any]]) -> int:
    """Append the trials that the ledger doesn't hold yet; how many there were."""
    ledger = context.ledger()
    known = {row["id"] for row in ledger.rows("operations", kind="trial")}
    fresh = [row for row in rows if row["id"] not in known]
    if fresh:
        ledger.append("operations", fresh)
    return len(fresh)


def trial_rows(history: History, keys: Sequence[str], frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One ledger row a finished combination; its id names all that its figures follow from.

    Parameters
    ----------
    keys : sequence of str
        The policy's keys that were varied, columns of `frame`.
    frame : DataFrame
        As `sweeping.sweep` returns it.
    """
    context, rows = history.context, []
    made: Any = plain(frame.to_dict("records"))
    for found in made:
        trial = {
            "feed": context.market.feed,
            "data": context.market.digest,
            "model_version": history.model.version,
            "sessions": list(history.sessions),
            "policy": found["policy"],
            "configuration": configuration(context, found["policy"]),
            "figures": {name: found[name] for name in FIGURES},
            "sha256": found["sha256"],
        }
        # Not of the id: the same policy may be asked for by other keys.
        values = {key: found[key] for key in keys}
        rows.append({"kind": "trial", "id": sha256(trial)[:16], **trial, "values": values})
    return rows
