"""Sweeps: a row a combination, the same whoever computes it, none lost to another's failure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hybridnb import metrics
from hybridnb.app.cli import cli
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.history import History
from hybridnb.app.home import Home
from hybridnb.app.kernels import MODE
from hybridnb.app.replaying import names_of, tape_of
from hybridnb.app.review import _trials
from hybridnb.app.sweep_command import _swept, parsed
from hybridnb.app.sweeping import FIGURES, SweepFailed, combinations, sweep
from hybridnb.app.training import Model, trained_to
from hybridnb.app.trials import configuration
from hybridnb.domain import SCALE
from hybridnb.errors import Missing, ParamsError, UsageError
from hybridnb.policy import Policy, policy_values, validated
from hybridnb.replay.run import Hints, replay, rules
from hybridnb.replay.tape import Names, Tape, World

Make = Callable[..., Any]
GRID = {"stops.initial": [1.5, 1.8, 2.1], "sizing.kelly_fraction": [0.02, 0.25]}


def silent(text: str) -> None:
    """Nobody reads the progress here."""


@dataclass(frozen=True)
class Steady:
    """The same view of every name in every session; it fails under stops of `broken` ATR."""

    view: float = 0.9
    broken: float = 0.0

    def __call__(self, policy: Policy) -> Hints:
        if policy.stops.initial == self.broken:
            raise FloatingPointError("no views of such stops")
        return self.views

    def views(self, world: World, t: int) -> np.ndarray:
        return np.full(len(world.bucket), self.view)


@dataclass(frozen=True)
class Deadly:
    """Ends the process that asks it, under stops of 1.8 ATR."""

    def __call__(self, policy: Policy) -> Hints:
        if policy.stops.initial == 1.8:
            os._exit(9)
        return Steady().views


@pytest.fixture(scope="module")
def market(panel_of: Make) -> tuple[Tape, Names]:
    rng = np.random.default_rng(4)
    closes = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (300, 8)), axis=0))
    found = panel_of(closes, score=rng.uniform(0.2, 1.0, (300, 8)))
    return tape_of(found), names_of(found, Policy(), MODE)


@pytest.fixture(scope="module")
def one(market: tuple[Tape, Names]) -> pd.DataFrame:
    return sweep(*market, Policy(), GRID, start=255, plain=True, say=silent)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        env={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    ) as cluster:
        yield cluster.scheduler_address


def test_a_row_is_the_replay_of_its_policy(market: tuple[Tape, Names], one: pd.DataFrame) -> None:
    assert list(one.columns) == [*GRID, "policy", *FIGURES, "sha256"]
    assert one["sha256"].nunique() == len(one) == 6
    assert one["trades"].min() > 0
    row = one.iloc[4]
    values = policy_values(Policy())
    values["stops"]["initial"], values["sizing"]["kelly_fraction"] = 2.1, 0.02
    policy = validated(Policy, values)
    assert row["policy"] == policy.id
    cash = round(policy.opening_cash * SCALE)
    done = replay(*market, rules(policy, MODE, verdict_valid=False), cash=cash, start=255)
    assert row["sha256"] == done.sha256
    equity = np.array([cash, *done.equity[255:]]) / SCALE
    assert row["equity"] == equity[-1]
    assert row["sharpe"] == pytest.approx(metrics.sharpe(np.diff(equity) / equity[:-1]))
    assert row["max_drawdown"] == metrics.max_drawdown(equity)
    fills = done.fills.tolist()
    assert row["fees"] == pytest.approx(sum(f[7] for f in fills) / SCALE)
    paid = sum(abs(f[5] - f[6]) * f[4] for f in fills) / SCALE
    assert row["slippage"] == pytest.approx(paid) and paid > 0.0


def test_two_processes_give_what_one_gives(market: tuple[Tape, Names], one: pd.DataFrame) -> None:
    found = sweep(*market, Policy(), GRID, start=255, plain=True, jobs=2, say=silent)
    pd.testing.assert_frame_equal(found, one, check_exact=True)


def test_a_cluster_gives_what_one_process_gives(
    market: tuple[Tape, Names], one: pd.DataFrame, address: str
) -> None:
    found = sweep(*market, Policy(), GRID, start=255, plain=True, dask=address, say=silent)
    pd.testing.assert_frame_equal(found, one, check_exact=True)


def test_a_large_history_is_mapped_and_left_as_it_was(panel_of: Make) -> None:
    closes = np.full((900, 160), 50.0) * np.exp(np.linspace(0, 0.2, 900))[:, None]
    found = panel_of(closes, score=0.9)
    tape, names = tape_of(found), names_of(found, Policy(), MODE)
    assert tape.rl.nbytes > 2**20  # what joblib maps
    grid = {"stops.initial": [1.8, 2.1]}
    how = {"start": 890, "hints": Steady(), "plain": True, "say": silent}
    alone, mapped = (sweep(tape, names, Policy(), grid, jobs=j, **how) for j in (1, 2))
    pd.testing.assert_frame_equal(mapped, alone, check_exact=True)
    assert np.isnan(tape.rl).all()


def test_views_that_depend_on_the_book_reach_every_worker(
    market: tuple[Tape, Names], one: pd.DataFrame, address: str
) -> None:
    how = {"start": 255, "hints": Steady(0.1), "plain": True, "say": silent}
    found = [sweep(*market, Policy(), GRID, **how, **w) for w in ({}, {"dask": address})]
    pd.testing.assert_frame_equal(*found, check_exact=True)
    assert (found[0]["sha256"] != one["sha256"]).all()


@pytest.mark.parametrize("how", ["one", "two", "dask"])
def test_a_combination_that_fails_is_named_and_the_others_are_kept(
    market: tuple[Tape, Names], how: str, request: pytest.FixtureRequest
) -> None:
    workers: dict[str, Any] = {"one": {}, "two": {"jobs": 2}}.get(how) or {}
    if how == "dask":
        workers = {"dask": request.getfixturevalue("address")}
    given: Any = {"start": 255, "plain": True, "say": silent} | workers
    with pytest.raises(SweepFailed) as failed:
        sweep(*market, Policy(), GRID, hints=Steady(broken=1.8), **given)
    assert "2 of 6 combinations failed" in str(failed.value)
    for kelly in (0.02, 0.25):
        values = f"stops.initial = 1.8, sizing.kelly_fraction = {kelly}"
        assert f"{values}: FloatingPointError: no views of such stops" in str(failed.value)
    kept = failed.value.frame
    whole = sweep(*market, Policy(), GRID, hints=Steady(), start=255, plain=True, say=silent)
    rest = whole[whole["stops.initial"] != 1.8].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, rest, check_exact=True)
    details = failed.value.as_dict()
    assert [f["values"]["sizing.kelly_fraction"] for f in details["failed"]] == [0.02, 0.25]
    assert len(details["configurations"]) == 4


def test_a_worker_that_dies_takes_no_finished_combination_with_it(
    market: tuple[Tape, Names],
) -> None:
    grid = {"stops.initial": [1.5, 1.6, 1.7, 1.8]}
    how: Any = {"start": 290, "plain": True, "say": silent}
    with pytest.raises(SweepFailed, match="a worker died") as failed:
        sweep(*market, Policy(), grid, hints=Deadly(), jobs=2, **how)
    kept = failed.value.frame
    whole = sweep(*market, Policy(), grid, hints=Steady(), **how)
    pd.testing.assert_frame_equal(kept, whole.iloc[: len(kept)], check_exact=True)
    assert failed.value.details["failed"][-1]["values"] == {"stops.initial": 1.8}


@pytest.mark.parametrize(
    ("grid", "error", "words"),
    [
        ({}, UsageError, "at least one key"),
        ({"stops.initial": []}, UsageError, "at least one key"),
        ({"stops.initail": [1.8]}, ParamsError, "initial"),
        ({"stop.initial": [1.8]}, ParamsError, "stops"),
        ({"stops.initial.atr": [1.8]}, ParamsError, "initial has no keys"),
        ({"stops.initial": [1.8, -1.0]}, ParamsError, "greater than 0"),
        ({"stops.initial": [float("nan")]}, ParamsError, "stops.initial"),
        ({"blend.buy": [0.7, 0.4]}, ParamsError, "sell < 0.5 < buy"),
        ({"mode": ["LIVE"]}, ParamsError, "doesn't read it"),
        ({"stops.atr_period": [10]}, ParamsError, "doesn't read it"),
        ({"lists.core": [["A"]]}, ParamsError, "doesn't read it"),
        ({"safety.order_value": [1.0]}, ParamsError, "doesn't read it"),
    ],
)
def test_a_grid_that_can_t_be_meant_is_refused_before_anything_runs(
    market: tuple[Tape, Names], grid: dict[str, Any], error: type[Exception], words: str
) -> None:
    def said(text: str) -> None:
        raise AssertionError(f"it ran: {text}")

    with pytest.raises(error, match=words):
        sweep(*market, Policy(), grid, plain=True, say=said)


@given(
    st.lists(st.floats(0.1, 9.0), min_size=1, max_size=4),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4),
)
def test_combinations_are_the_product_with_the_last_key_fastest(
    stops: list[float], kelly: list[float]
) -> None:
    found = combinations(Policy(), {"stops.initial": stops, "sizing.kelly_fraction": kelly})
    asked = [(a, b) for a in stops for b in kelly]
    assert [tuple(values.values()) for values, _ in found] == asked
    assert [(p.stops.initial, p.sizing.kelly_fraction) for _, p in found] == asked
    assert all(p.clamps == Policy().clamps for _, p in found)


def test_the_command_line_s_values_are_those_of_yaml() -> None:
    found = parsed(["stops.initial=1.5,2", "risk.stop_guard=[3,5,2],[4, 5, 2]", "a.b=true"])
    assert found == {
        "stops.initial": [1.5, 2],
        "risk.stop_guard": [[3, 5, 2], [4, 5, 2]],
        "a.b": [True],
    }
    for wrong in (["stops.initial"], ["=1"], ["a.b=["], ["a.b=1", "a.b=2"]):
        with pytest.raises(UsageError):
            parsed(wrong)


@pytest.mark.parametrize(
    ("address", "error"), [("tcp://127.0.0.1:9", Missing), ("nowhere", UsageError)]
)
def test_a_scheduler_that_isn_t_there(
    market: tuple[Tape, Names],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    error: type[Exception],
) -> None:
    monkeypatch.setattr("hybridnb.app.workers.CONNECT", 1)
    with pytest.raises(error, match=address):
        sweep(*market, Policy(), GRID, dask=address, plain=True, say=silent)


def test_without_the_extra_the_remedy_names_it(
    market: tuple[Tape, Names], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Missing, match="distributed") as missing:
        sweep(*market, Policy(), GRID, dask="tcp://127.0.0.1:9", plain=True, say=silent)
    assert "hybridnb[dask]" in missing.value.remedy


@pytest.fixture(scope="module")
def context() -> Context:
    return open_day(Request(feed="sample", session="2002-03-01", profile="smoke", seed=3))


def history_of(context: Context, panel_of: Make, monkeypatch: pytest.MonkeyPatch) -> History:
    """A history whose predictions a test chose, of a model that nobody trained."""
    closes = 50.0 + np.random.default_rng(1).normal(0.0, 1.0, (300, 3)).cumsum(axis=0) * 0.1
    to = f"{trained_to(context):%Y-%m-%d}"
    model = Model("m", to, {}, {}, True)
    monkeypatch.setattr(History, "hints", type("", (), {"under": Steady(broken=2.1)}))
    return History(context, model, panel_of(closes), 255, 300)


def test_every_finished_combination_is_a_trial_that_the_gates_count(
    context: Context, panel_of: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = replace(context, home=Home(tmp_path))
    history = history_of(context, panel_of, monkeypatch)
    assert _trials(context, 0.1)[0] == 1
    how: Any = {"jobs": 1, "dask": "", "plain": True, "say": silent}
    frame, written = _swept(history, {"stops.initial": [1.5, 1.7]}, **how)
    rows = context.ledger().rows("operations", kind="trial")
    assert (written, len(rows)) == (2, 2)
    for row, (_, found) in zip(rows, frame.iterrows(), strict=True):
        assert row["values"] == {"stops.initial": found["stops.initial"]}
        assert row["policy"] == found["policy"] and row["sha256"] == found["sha256"]
        assert row["figures"] == {name: found[name] for name in FIGURES}
        assert row["configuration"] == configuration(context, found["policy"])
        assert row["model_version"] == "m" and row["feed"] == "sample"
    assert _trials(context, 0.1)[0] == 3

    # The same again is no new trial, nor is the policy in force; a failed one is none at all.
    again, written = _swept(history, {"stops.initial": [1.5], "blend.buy": [0.67]}, **how)
    assert written == 0 and again["sha256"][0] == frame["sha256"][0]
    with pytest.raises(SweepFailed):
        _swept(history, {"stops.initial": [1.8, 2.1, 1.9]}, **how)
    assert len(context.ledger().rows("operations", kind="trial")) == 4
    count, variance = _trials(context, 0.1)
    assert count == 4  # 1.8 is the policy in force
    sharpes = [frame["sharpe"][0], frame["sharpe"][1]]
    sharpes.append(context.ledger().rows("operations", kind="trial")[-1]["figures"]["sharpe"])
    per_session = np.array([0.1, *(s / np.sqrt(metrics.YEAR) for s in sharpes)])
    assert variance == pytest.approx(per_session.var(ddof=1))
    assert context.ledger().verify().ok


def test_the_command_needs_a_model_and_a_grid() -> None:
    def failed(*args: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(cli, ["sweep", "--profile", "smoke", "--json", *args])
        return done.exit_code, json.loads(done.stdout)

    for args, code, words in (
        ((), 2, "at least one key"),
        (("--set", "stops.initail=1"), 2, "initial"),
        (("--set", "stops.initial=1.5"), 4, "no model"),
    ):
        found, error = failed(*args)
        assert found == code
        assert words in error["message"]
        assert error["remedy"]
