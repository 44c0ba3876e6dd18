"""hybridnb's replay: `compiled` or `plain`."""

from __future__ import annotations

import sys
from typing import Any

from engines.report import Data, measured

FORM = "plain" if "plain" in sys.argv else "compiled"
WHAT = (
    f"hybridnb replay, {FORM} form, one portfolio: the decision (blend, caps, multipliers, hard "
    "clamps), orders at the next open, partial fills at a share of the volume, brackets with "
    "trailing stops, kill switch and guards, commission schedule, spread and impact, the "
    "end-of-day sweep"
)


def market_of(data: Data) -> Any:
    """The shared bars as a replay takes them; features are given, as in the live path."""
    from hybridnb.replay import Market

    return Market(**data)


def ours(data: Any, compiled: bool) -> int:
    """Replay a market; the number of closed trades."""
    from hybridnb.replay import replay

    return len(replay(data, compiled=compiled).trades)


def run(market: Any) -> int:
    return ours(market, FORM == "compiled")


if __name__ == "__main__":
    measured(run, what=WHAT, prepare=market_of, repeat=FORM == "compiled")
