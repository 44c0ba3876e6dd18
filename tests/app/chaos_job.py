"""One attempt of a test's job: a page, and a row of the ledger, once for each job and session."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from hybridnb.app.progress import Say
from hybridnb.app.schedule.actions import FUNCTIONS, Order, Outcome, done
from hybridnb.app.schedule.job_process import main


def page_of(job: str, session: str) -> str:
    """A page that says by its last line whether it is whole."""
    body = f"{job} {session}\n" * 20_000
    return f"{body}{hashlib.sha256(body.encode()).hexdigest()}"


def deed(order: Order, say: Say) -> Outcome:
    """Slow enough to be killed anywhere; what it leaves is in place whole, and once."""
    from hybridnb.app.ledgers import open_ledger
    from hybridnb.app.runner import write_atomically

    pause = float(order.parameters.get("seconds", 0.0))
    time.sleep(pause / 2)
    page = Path(os.environ["HYBRIDNB_REPORTS"], order.session, f"{order.job}.html")
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, page_of(order.job, order.session))
    ledger = open_ledger()
    which = {"job": order.job, "session": order.session}
    if not ledger.rows("operations", kind="deed", **which):
        ledger.append("operations", [{"kind": "deed", **which}])
    time.sleep(pause / 2)
    return done(page)


if __name__ == "__main__":
    main({**FUNCTIONS, "deed": deed})
