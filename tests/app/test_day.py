"""The main job, whole: real notebooks, real kernels, a real ledger; small models."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"
KILLS = 20 if EVIDENCE else 1
KEYS = {
    *("session", "mode", "decisions", "orders", "fills", "equity", "verdict"),
    *("orders_sha256", "ledger_head", "reports"),
}
Place = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("params")
    shutil.copytree(ROOT / "params", folder, dirs_exist_ok=True)
    names = "\n".join(f"{name}: {{bucket: CORE}}" for name in ("AAPL", "IBM", "MSFT"))
    (folder / "symbols.yml").write_text(names, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three names of the sample, its last six years: real bars in a user's own file."""
    from hybridnb.market.feeds import FeedRequest
    from hybridnb.market.sample import load

    found = load(FeedRequest()).bars
    found = found[found["symbol"].isin(["AAPL", "IBM", "MSFT"])]
    found = found[found["session"] >= pd.Timestamp("2007-06-01")]
    path = tmp_path_factory.mktemp("bars") / "us.csv"
    found.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with a home and reports of its own."""
    root = tmp_path_factory.mktemp("homes")

    def make(name: str) -> dict[str, str]:
        return os.environ | {
            "HYBRIDNB_HOME": str(root / name / "home"),
            "HYBRIDNB_REPORTS": str(root / name / "reports"),
        }

    return make


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "hybridnb.app.cli", *(str(a) for a in args), "--json"]


def ran(environment: dict[str, str], *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*args), env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def answer(environment: dict[str, str], *args: object) -> Any:
    done = ran(environment, *args)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("\n") == 1, "one object on standard output"
    return json.loads(done.stdout)


def day(params: Path, bars: Path) -> tuple[object, ...]:
    core = ("day", "--feed", "folder", "--data", bars, "--params", params, "--profile", "smoke")
    return (*core, "--date", "2013-02-28")


@pytest.fixture(scope="module")
def undisturbed(params: Path, bars: Path, place: Place) -> dict[str, Any]:
    start = time.monotonic()
    found: dict[str, Any] = answer(place("first"), *day(params, bars))
    return found | {"took": time.monotonic() - start}


def test_the_day_answers_what_programs_rely_on(undisturbed: dict[str, Any]) -> None:
    assert set(undisturbed) == KEYS | {"took"}
    assert undisturbed["session"] == "2013-02-28"
    assert undisturbed["mode"] == "DEMO"
    assert undisturbed["decisions"] == 3
    assert undisturbed["verdict"] in ("FAIL", "INSUFFICIENT_EVIDENCE")
    for report in undisturbed["reports"]:
        text = Path(report).read_text(encoding="utf-8")
        assert len(text.encode()) <= 1_000_000
        assert "<script" not in text and "src='http" not in text and 'src="http' not in text


def test_the_ledger_verifies_to_the_day_s_head(undisturbed: dict[str, Any], place: Place) -> None:
    found = answer(place("first"), "ledger", "verify")
    assert found["ok"] is True
    assert found["head"] == undisturbed["ledger_head"]


def test_running_it_again_changes_nothing_and_says_so(
    undisturbed: dict[str, Any], params: Path, bars: Path, place: Place
) -> None:
    before = [Path(r).stat().st_mtime_ns for r in undisturbed["reports"]]
    done = ran(place("first"), *day(params, bars))
    assert json.loads(done.stdout) == {k: v for k, v in undisturbed.items() if k != "took"}
    assert "nothing was changed" in done.stderr
    assert [Path(r).stat().st_mtime_ns for r in undisturbed["reports"]] == before


@pytest.fixture(scope="module")
def continued(
    undisturbed: dict[str, Any], params: Path, bars: Path, place: Place
) -> dict[str, Any]:
    """The session after it, of the same book."""
    first, second = place("first"), place("second")
    shutil.copytree(first["HYBRIDNB_HOME"], second["HYBRIDNB_HOME"])
    start = time.monotonic()
    found: dict[str, Any] = answer(second, *day(params, bars)[:-1], "2013-03-01")
    return found | {"took": time.monotonic() - start}


def test_the_next_session_continues_the_book(continued: dict[str, Any], place: Place) -> None:
    assert continued["session"] == "2013-03-01"
    books = answer(place("second"), "status")["books"]
    assert [(b["session"]) for b in books] == ["2013-03-01"]


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_any_moment_it_ends_with_the_same_ledger(
    undisturbed: dict[str, Any],
    continued: dict[str, Any],
    params: Path,
    bars: Path,
    place: Place,
    seed: int,
) -> None:
    """Every other time it is a book's second session that is killed."""
    environment, wanted, line = place(f"killed-{seed}"), undisturbed, day(params, bars)
    if seed % 2 == 0:
        wanted, line = continued, (*line[:-1], "2013-03-01")
        shutil.copytree(place("first")["HYBRIDNB_HOME"], environment["HYBRIDNB_HOME"])
    child = subprocess.Popen(
        command(*line),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(random.Random(seed).uniform(0.0, wanted["took"]))
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert answer(environment, "ledger", "verify")["ok"] is True
    found = answer(environment, *line)
    for key in ("ledger_head", "orders_sha256", "equity", "fills"):
        assert found[key] == wanted[key], key
    assert answer(environment, "ledger", "verify")["head"] == wanted["ledger_head"]


def test_another_input_or_an_earlier_session_is_refused(
    undisturbed: dict[str, Any], params: Path, bars: Path, place: Place
) -> None:
    other = ran(place("first"), *day(params, bars), "--seed", 8)
    assert other.returncode == 3
    assert "seed" in json.loads(other.stdout)["message"]
    earlier = ran(place("first"), *day(params, bars)[:-1], "2013-02-27")
    assert earlier.returncode == 3
    assert "earlier" in json.loads(earlier.stdout)["message"]
    assert answer(place("first"), "ledger", "verify")["head"] == undisturbed["ledger_head"]


def test_explain_recomputes_the_decision(undisturbed: dict[str, Any], place: Place) -> None:
    found = answer(place("first"), "explain", "IBM")
    assert found["score_equal"] is True and found["input_hash_equal"] is True
    text = subprocess.run(
        command("explain", "IBM")[:-1],
        env=place("first"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for term in ("p_short", "p_mid", "rl", "bar 2013-02-27", "size_post_risk", "policy"):
        assert term in text


def test_status_report_and_export(
    undisturbed: dict[str, Any], place: Place, tmp_path: Path
) -> None:
    status = answer(place("first"), "status")
    assert status["books"][0]["equity"] == undisturbed["equity"]
    assert status["ledger"]["head"] == undisturbed["ledger_head"]
    beat = status["heartbeat"]
    assert beat["run"] == "2013-02-28/post_mortem"
    assert beat["cell"] == beat["cells"]
    report = answer(place("first"), "report", "--days", 5)
    assert "2013-02-28" in Path(report["report"]).read_text(encoding="utf-8")
    files = answer(place("first"), "ledger", "export", "--out", tmp_path)["files"]
    kept = pd.read_parquet(files[0])
    assert kept["hash"].iloc[-1] == undisturbed["ledger_head"]


def test_bad_bars_end_with_code_2_and_write_nothing(
    params: Path, bars: Path, place: Place, tmp_path: Path
) -> None:
    broken = tmp_path / "bars.csv"
    lines = bars.read_text(encoding="utf-8").splitlines()
    cells = lines[10].split(",")
    cells[3], cells[4] = cells[4], cells[3]  # high below low
    cells[2] = cells[4]
    lines[10] = ",".join(cells)
    broken.write_text("\n".join(lines), encoding="utf-8")
    environment = place("nothing")
    done = ran(environment, *day(params, broken))
    assert done.returncode == 2
    found = json.loads(done.stdout)["breaches"]
    assert {(b["file"], b["row"]) for b in found} == {("bars.csv", 11)}
    home = Path(environment["HYBRIDNB_HOME"])
    assert not Path(environment["HYBRIDNB_REPORTS"]).exists()
    assert not home.exists() or list(home.rglob("*.*")) == []


def test_symbols_without_a_class_are_refused_before_any_work(bars: Path, place: Place) -> None:
    done = ran(place("nothing"), *day(ROOT / "params", bars))
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert "AAPL, IBM, MSFT" in found["message"]
    assert "symbols.yml" in found["remedy"]


def test_bad_parameters_end_with_code_2(
    params: Path, bars: Path, place: Place, tmp_path: Path
) -> None:
    shutil.copytree(params, tmp_path / "p")
    (tmp_path / "p" / "policy.yml").write_text("clamps: {bucket_core: 2}", encoding="utf-8")
    done = ran(place("nothing"), *day(tmp_path / "p", bars))
    assert done.returncode == 2
    assert "clamps.bucket_core = 2" in json.loads(done.stdout)["message"]


def test_a_reviewed_tampering_is_found(undisturbed: dict[str, Any], place: Place) -> None:
    import sqlite3

    first, cut = place("first"), place("tampered")
    shutil.copytree(first["HYBRIDNB_HOME"], cut["HYBRIDNB_HOME"])
    database = sqlite3.connect(Path(cut["HYBRIDNB_HOME"], "ledger", "ledger.db"))
    database.execute("DELETE FROM entries WHERE chain = 'session' AND seq = 3")
    database.commit()
    database.close()
    done = ran(cut, "ledger", "verify")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False and found["first_broken"]["seq"] == 3
