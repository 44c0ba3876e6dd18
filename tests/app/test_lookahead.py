"""`hybridnb lookahead`: the product's own features pass, a stranger's file is audited as it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridnb.app.context import Request, open_day
from hybridnb.app.lookahead import audit_lookahead, lookahead_text
from hybridnb.errors import UsageError
from hybridnb.market.features import FEATURES, INPUTS

DAY = Request(feed="sample", session="2000-08-31", seed=3)
HONEST = """
def features(bars):
    before = bars["close"].groupby(bars["symbol"]).shift(3)
    return bars[["symbol", "session"]].assign(past=bars["close"] / before - 1.0)
"""
LEAKING = """
import sys
from neighbour import AHEAD

def momentum(bars):
    print("on standard output")
    then = bars["close"].groupby(bars["symbol"]).shift(AHEAD)
    return bars[["symbol", "session"]].assign(ahead=then / bars["close"], same=1.0)
"""
JOINING = """
import pandas as pd

JOINED = ["news"]

def features(bars):
    out = bars[["symbol", "session"]].assign(news=bars.index % 7)
    out["news_available_at"] = (out["session"] + pd.Timedelta(hours={hours})).dt.tz_localize(
        "America/New_York"
    )
    return out
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDNB_HOME", str(tmp_path / "home"))


def silent(text: str) -> None:
    """Nobody reads the progress here."""


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def audited(target: str, *, cuts: int = 50, request: Request = DAY) -> dict[str, Any]:
    done = audit_lookahead(request, target, cuts=cuts, say=silent)
    assert json.loads(json.dumps(done, allow_nan=False)) == done
    return done


def test_the_products_own_features_pass() -> None:
    done = audited("")
    assert done["status"] == "PASS" and done["left_out"] == []
    assert [row["feature"] for row in done["features"]] == [*FEATURES, *INPUTS]
    assert {row["cuts"] for row in done["features"]} == {50} and done["cuts"]["count"] == 50
    assert done["seed"] == 3 and done["symbols"] > 1
    text = lookahead_text(done)
    assert "rsi_14" in text and text.endswith(f"PASS: {len(FEATURES) + len(INPUTS)} PASS")


def test_without_volume_what_needs_it_is_left_out_and_named() -> None:
    done = audited("", request=Request(feed="closes", session="1990-08-31", seed=3))
    assert done["status"] == "PASS"
    assert set(done["left_out"]) == {"volume_z", "value_trend", "adv", "median_value"}
    assert not set(done["left_out"]) & {row["feature"] for row in done["features"]}
    assert "the feed has no volume: volume_z" in lookahead_text(done)


def test_an_honest_file_passes(tmp_path: Path) -> None:
    done = audited(str(written(tmp_path, HONEST)))
    assert done["status"] == "PASS" and done["target"] == "mine.py:features"


def test_a_leaking_file_fails_with_its_first_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own imports are found beside it, and what it prints is not the result."""
    written(tmp_path, "AHEAD = -1\n", "neighbour.py")
    path, search = written(tmp_path, LEAKING), list(sys.path)
    try:
        done = audited(f"{path}:momentum")
    finally:
        sys.modules.pop("neighbour", None)
    assert capsys.readouterr().out == "" and sys.path == search
    assert done["status"] == "FAIL"
    ahead, same = done["features"]
    assert ahead["status"] == "FAIL" and ahead["wrong"] == 50
    assert same["status"] == "not enough evidence"
    bars = open_day(DAY).market.bars.set_index(["symbol", "session"])["close"]
    own = bars[ahead["symbol"]]
    after = own[own.index > ahead["session"]].iloc[0]
    assert ahead["value_on_the_whole"] == pytest.approx(after / own[ahead["session"]])
    assert ahead["value_without_future"] is None and ahead["difference"] is None
    text = lookahead_text(done)
    assert "looks ahead" in text and text.endswith("FAIL: 1 FAIL, 1 not enough evidence")


def test_few_cuts_are_not_enough(tmp_path: Path) -> None:
    done = audited(str(written(tmp_path, HONEST)), cuts=49)
    assert done["status"] == "not enough evidence"
    assert "49 cuts, 50 needed" in lookahead_text(done)


def test_a_history_of_one_session_is_not_enough() -> None:
    first = open_day(DAY).market.bars["session"].min()
    done = audited("", request=Request(feed="sample", session=f"{first:%Y-%m-%d}"))
    assert done["status"] == "not enough evidence" and done["cuts"]["count"] == 0
    assert "no place to cut" in lookahead_text(done)


@pytest.mark.parametrize(("hours", "status"), [(12, "PASS"), (17, "FAIL")])
def test_a_session_is_decided_at_its_close(tmp_path: Path, hours: int, status: str) -> None:
    """Known at noon in New York is known at the close; known at five isn't."""
    text = JOINING.replace("{hours}", str(hours)).replace("bars.index % 7", 'bars["close"]')
    done = audited(str(written(tmp_path, text)))
    assert done["status"] == status


def test_a_declared_join_without_stamps_is_refused(tmp_path: Path) -> None:
    done = audited(str(written(tmp_path, HONEST + 'JOINED = ("past",)\n')))
    assert done["status"] == "FAIL" and "refused: joined without" in done["features"][0]["detail"]


@pytest.mark.parametrize(
    ("text", "target", "why"),
    [
        (HONEST, "{}:absent", "has no function absent"),
        (HONEST, "{}:", "there is no file"),
        (HONEST, "{}.txt", "there is no file"),
        ("import nothing_of_this_name", "{}", "ModuleNotFoundError"),
        ("def features(bars:\n", "{}", "SyntaxError"),
        ("raise SystemExit(0)", "{}", "can't be loaded: SystemExit"),
        ("features = 3", "{}", "has no function features"),
        ("def features(bars):\n    return bars['nothing']", "{}", "raised KeyError: 'nothing'"),
        ("def features():\n    return 1", "{}", "raised TypeError"),
        (HONEST + "JOINED = 'past'", "{}", "JOINED is a list"),
        (HONEST + "JOINED = ['other']", "{}", "declared as joined, but not returned: other"),
    ],
)
def test_what_cant_be_audited_is_said_plainly(
    tmp_path: Path, text: str, target: str, why: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=why):
        audited(target.format(path))
    assert "audited_features" not in sys.modules


def test_a_file_of_another_kind_and_no_cuts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Python file"):
        audited(str(written(tmp_path, HONEST, "features.txt")))
    with pytest.raises(UsageError, match="at least 1"):
        audited("", cuts=0)
