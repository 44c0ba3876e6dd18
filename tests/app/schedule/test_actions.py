"""What the shipped jobs do, on real bars: three names of the sample in a user's own file."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybridnb.app.home import home, shipped
from hybridnb.app.schedule.actions import FUNCTIONS, Order, Outcome, act
from hybridnb.errors import CheckFailed, Missing, UsageError
from hybridnb.market.feeds import FeedRequest
from hybridnb.market.sample import load

LAST = "2013-03-01"


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = load(FeedRequest()).bars
    found = found[found["symbol"].isin(["AAPL", "IBM", "MSFT"])]
    path = tmp_path_factory.mktemp("bars") / "us.csv"
    found[found["session"] >= pd.Timestamp("2007-06-01")].to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("params")
    shutil.copytree(shipped("params"), folder, dirs_exist_ok=True)
    names = "\n".join(f"{name}: {{bucket: CORE}}" for name in ("AAPL", "IBM", "MSFT"))
    (folder / "symbols.yml").write_text(names, encoding="utf-8")
    return folder


def order(run: str, session: str = LAST, **more: Any) -> Order:
    values: dict[str, Any] = {"job": run, "session": session, "calendar": "XNYS", "run": run}
    values |= {"now": dt.datetime(2013, 3, 2, tzinfo=dt.UTC), "kind": "function"}
    values |= {"parameters": {}, "params": "", "timeout": 60.0, "memory": 1024}
    return Order(**values | {"recorded": ("sample",), **more})


def did(asked: Order) -> Outcome:
    return act(asked, lambda _: None, FUNCTIONS)


@pytest.fixture
def own(bars: Path, params: Path) -> dict[str, Any]:
    return {"parameters": {"feed": "folder", "data": str(bars)}, "params": str(params)}


def test_the_data_check_wants_the_session_before_and_says_what_will_be_trained(
    own: dict[str, Any],
) -> None:
    found = did(order("data_check", "2013-03-04", **own))  # a Monday
    assert found["status"] == "done" and f"bars to {LAST}" in found["note"]
    assert "will be trained" in found["note"]
    with pytest.raises(CheckFailed, match=f"ends on {LAST}; the session 2013-03-05 needs"):
        did(order("data_check", "2013-03-05", **own))


def test_a_recorded_feed_that_ended_is_no_alarm(own: dict[str, Any]) -> None:
    recorded = own | {"recorded": ("folder",)}
    for name in ("data_check", "drift_check"):
        found = did(order(name, "2013-03-06", **recorded))
        assert found["status"] == "skipped" and f"ended on {LAST}" in found["note"]
    day = order("", "2013-03-06", kind="day", **recorded)
    assert did(day)["status"] == "skipped"


def test_the_drift_check_tells_what_drifted(own: dict[str, Any]) -> None:
    """A year after the crisis volatility had fallen; in its midst there was too little before."""
    with pytest.raises(CheckFailed, match=r"critical drift by 2010-06-30: .*volatility_20"):
        did(order("drift_check", "2010-06-30", **own))
    found = did(order("drift_check", "2009-06-30", **own))
    assert found["note"] == "14 features, none drifted critically"


def test_a_checkpoint_is_made_once_and_old_ones_go() -> None:
    folder = home().root.with_name(f"{home().root.name}-backups")
    for session in ("2013-02-27", "2013-02-28", LAST):
        found = did(order("checkpoint", session, parameters={"keep": 2}))
        assert found["status"] == "done" and "rows hold" in found["note"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["checkpoint-2013-02-28.zip", f"checkpoint-{LAST}.zip"]
    before = (folder / names[1]).read_bytes()
    did(order("checkpoint", LAST, parameters={"keep": 2}))
    assert (folder / names[1]).read_bytes() == before


def test_what_a_job_doesn_t_take_is_refused(own: dict[str, Any]) -> None:
    wrong = own | {"parameters": own["parameters"] | {"sede": 7}}
    with pytest.raises(UsageError, match="takes no sede"):
        did(order("data_check", **wrong))


def test_a_notebook_that_isn_t_there_is_missed() -> None:
    with pytest.raises(Missing, match="no notebook nowhere"):
        did(order("nowhere", kind="notebook"))
