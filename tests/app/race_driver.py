"""A process that asks the frontier whenever it is told to, by a clock that it is told.

`python race_driver.py LEDGER HEADS BASE_URL ZONE`; each line of its input is one attempt, each
line of its output what became of one. Real are the ledger, the quota, the SDK and the wire; the
clock alone is given: the reading at the reservation, the one right before the socket opens. The
request says the second in its facts, so that the server can tell on which day it was sent.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

from hybridnb.app.briefing import question_of
from hybridnb.app.escalation_params import EscalationParams
from hybridnb.app.frontier import Tried, ask_frontier
from hybridnb.escalation.calls import Call, stamp
from hybridnb.escalation.examples import EXAMPLE_REQUESTS
from hybridnb.escalation.quota import Ask, Denial
from hybridnb.ledger.store import Ledger

LATE = "the reservation ran out before it could be sent"


def became(tried: Tried) -> str:
    """One word for what an attempt came to."""
    if tried.reply is not None:
        return "SENT"
    if tried.why == LATE:
        return "LATE"
    names = {denial.value: denial.name for denial in Denial}
    return names.get(tried.why, f"? {tried.why}")


def main() -> None:
    url, heads, base_url, zone = sys.argv[1:]
    ledger = Ledger(url, heads=Path(heads))
    values = {"frontier": {"reasoner": "openai", "settings": {"base_url": base_url}}}
    params = EscalationParams.model_validate(values)
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        readings = [dt.datetime.fromisoformat(text) for text in told["clock"]]
        sending, left = readings[1], list(readings)
        call = Call(told["call"])
        session = dt.date.fromisoformat(told["session"])
        request = EXAMPLE_REQUESTS[call].model_copy(update={"timestamp": stamp(sending)})
        tried = ask_frontier(
            ledger,
            params,
            Ask(told["attempt"], call, session),
            question_of(call, request, max_tokens=4000, timeout_s=60.0),
            zone=zone,
            now=lambda left=left, last=sending: left.pop(0) if left else last,  # type: ignore[misc]
        )
        print(became(tried), flush=True)


if __name__ == "__main__":
    main()
