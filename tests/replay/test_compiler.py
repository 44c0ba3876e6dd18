"""The compiled twin does what the plain form does, to the last bit of every number."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb import blender, book, clamps, costs, decide, fills, sizing, stops
from hybridnb.domain import Mode, Refusal
from hybridnb.entries import Account
from hybridnb.limits import limits
from hybridnb.policy import Costs, Policy, Stops, validated
from hybridnb.replay import compiler
from hybridnb.replay.compiler import available, compiled
from hybridnb.replay.run import sessions
from hybridnb.replay.tape import Book, Log, Scratch, World

Make = Callable[..., Any]
NAN, INF = float("nan"), float("inf")
needs_numba = pytest.mark.skipif(not available(), reason="no compiler is installed")
LONG = limits(Policy(), Mode.DEMO)
SHORT = limits(
    validated(
        Policy,
        {"sizing": {"allow_short": True, "max_leverage": 2.0}, "blend": {"penalty_rule": "shrink"}},
    ),
    Mode.DEMO,
)
RULE = stops.stop_rule(Stops())
RATES = costs.rates(Costs(latency="lognormal"))


def bits(value: Any) -> list[bytes]:
    """Every number of a value as its eight bytes, so that NaN is itself and -0.0 is not 0.0."""
    if isinstance(value, tuple):
        return [b for each in value for b in bits(each)]
    if isinstance(value, (float, np.floating)):
        return [np.float64(value).tobytes()]
    return [int(value).to_bytes(8, "little", signed=True)]


# Kernels over random numbers, unknown ones among them


def floats(rng: np.random.Generator, n: int) -> Iterator[float]:
    """Shares around 0 and 1, their edges, and what isn't a number."""
    edges = (0.0, 1.0, 0.5, NAN, INF, 1e-300, 1e300)
    for k in range(n):
        yield float(rng.choice(edges)) if k % 7 == 0 else float(rng.uniform(-0.2, 1.2))


def prices(rng: np.random.Generator) -> tuple[int, int, int, int, int]:
    low, high = sorted(int(v) for v in rng.integers(1, 3_000_000, 2))
    first, last = (int(v) for v in rng.integers(low, high + 1, 2))
    return first, high, low, last, int(rng.choice([-1, 0, 37, 10**9]))


Case = tuple[Callable[..., Any], Callable[[np.random.Generator], tuple[Any, ...]]]


def _room(rng: np.random.Generator) -> tuple[Any, ...]:
    return next(floats(rng, 1)), clamps.Room(*floats(rng, 4)), *floats(rng, 1)


def _levels(rng: np.random.Generator) -> tuple[Any, ...]:
    entry, atr = float(rng.uniform(1, 1e6)), float(rng.choice([0.0, 1e-9, rng.uniform(0, 5)]))
    return entry, atr, int(rng.choice([-1, 1])), int(rng.choice([1, 7, 100]))


def _trailed(rng: np.random.Generator) -> tuple[Any, ...]:
    entry, atr, sign, tick = _levels(rng)
    return RULE, entry, atr, int(entry * rng.uniform(0.9, 1.1)) + 1, sign, tick


def _slippage(rng: np.random.Generator) -> tuple[Any, ...]:
    quantity, volatility = int(rng.integers(1, 10**6)), float(rng.choice([NAN, 0.0, 0.01, 0.9]))
    adv = float(rng.choice([NAN, 0.0, rng.uniform(1, 1e7)]))
    return RATES, int(rng.integers(5)), quantity, adv, volatility, int(rng.integers(64))


def _lots(rng: np.random.Generator) -> tuple[Any, ...]:
    equity, price = int(rng.integers(0, 10**12)), int(rng.integers(0, 10**7))
    rest = float(rng.choice([1.0, 0.5, -0.5, 0.0])), int(rng.choice([1, 100]))
    share = float(rng.choice([NAN, 0.0, rng.uniform(0, 2)]))
    return share, equity, price, *rest, int(rng.choice([1, 10]))


def _held(rng: np.random.Generator) -> tuple[Any, ...]:
    whole = int(rng.integers(1, 10**6))
    cost = int(rng.integers(-(10**15), 10**15))
    return cost, int(rng.integers(1, whole + 1)), whole


def _protective(rng: np.random.Generator) -> tuple[Any, ...]:
    bar = fills.Prices(*prices(rng))
    around = [*bar[:4], 0, *(int(v) for v in rng.integers(1, 3_000_000, 2))]
    return bar, int(rng.choice(around)), int(rng.choice(around)), int(rng.choice([-1, 1]))


KERNELS: dict[str, Case] = {
    "blend": (blender.blend, lambda rng: (rng.choice([0, 1]), *floats(rng, 8))),
    "liquidity_score": (blender.liquidity_score, lambda rng: tuple(floats(rng, 2))),
    "kelly": (sizing.kelly, lambda rng: (*floats(rng, 1), float(rng.uniform(0.1, 3)))),
    "cap_size": (sizing.cap_size, lambda rng: tuple(floats(rng, 5))),
    "scale_size": (
        sizing.scale_size,
        lambda rng: (0, *floats(rng, 5), bool(rng.random() < 0.5), *floats(rng, 1)),
    ),
    "whole_lots": (sizing.whole_lots, _lots),
    "clamp": (clamps.clamp, lambda rng: (*_room(rng), int(rng.choice([0, 0, 4])))),
    "commission": (
        costs.commission,
        lambda rng: (RATES, int(rng.integers(1, 10**6)), int(rng.integers(1, 10**8))),
    ),
    "slippage_bps": (costs.slippage_bps, _slippage),
    "slipped": (
        costs.slipped,
        lambda rng: (prices(rng)[0], int(rng.choice([-1, 1])), float(rng.uniform(0, 20_000))),
    ),
    "latency_draw": (
        costs.latency_draw,
        lambda rng: (int(rng.integers(2**32)), int(rng.integers(600_000, 800_000))),
    ),
    "levels": (stops.levels, lambda rng: (RULE, *_levels(rng))),
    "trailed": (stops.trailed, _trailed),
    "tighter": (
        stops.tighter,
        lambda rng: (*(int(v) for v in rng.choice([0, 5, 9], 2)), int(rng.choice([-1, 1]))),
    ),
    "most_fillable": (
        fills.most_fillable,
        lambda rng: (fills.Prices(*prices(rng)), 0.1, int(rng.choice([0, 3, 10**8]))),
    ),
    "protective_fill": (fills.protective_fill, _protective),
    "part_of": (book.part_of, _held),
}
LIMITED = {"blend", "scale_size"}  # their first argument is drawn among the limits


@needs_numba
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_the_same_bits(name: str) -> None:
    plain, drawn = KERNELS[name]
    fast, rng, seen = compiled(plain), np.random.default_rng(7), set()
    for _ in range(400):
        given_ = drawn(rng)
        if name in LIMITED:
            given_ = ((LONG, SHORT)[int(given_[0])], *given_[1:])
        keywords = call(plain, given_)
        expected = bits(plain(**keywords))
        assert bits(fast(**keywords)) == expected, keywords
        assert bits(fast(*given_)) == expected, keywords
        seen.add(tuple(expected))
    assert len(seen) > 2


def call(function: Callable[..., Any], values: tuple[Any, ...]) -> dict[str, Any]:
    """The values by name, keyword-only parameters among them."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return dict(zip(names, values, strict=True))


# The decision


def any_universe(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of INPUT and returns, shape (252, n), with unknown values among them."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, decide.INPUT)
    for name in decide.INPUT.names[:-2]:
        rows[name] = rng.uniform(0, 1, n)
        rows[name][rng.random(n) < 0.04 * (seed % 3)] = NAN
    held = rng.random(n) < 0.4
    rows["held"] = np.where(held, rng.uniform(-0.05, 0.08, n), 0.0)
    rows["risk"] = np.where(held, rng.uniform(0, 0.002, n), 0.0)
    rows["price"], rows["atr"] = rng.uniform(1, 100, n), rng.uniform(0.01, 2, n)
    rows["bucket"] = rng.integers(0, 5, n)
    rows["refused"] = np.where(rng.random(n) < 0.1, int(Refusal.LOCKED), 0)
    returns = rng.normal(0, 0.02, (252, n))
    if seed % 4 == 1:
        returns[rng.random(returns.shape) < 0.02] = NAN
    return rows, returns


@pytest.fixture(scope="module")
def decided() -> Callable[..., None]:
    return compiled(decide.decide_into)


@needs_numba
@given(seed=st.integers(0, 2**31), n=st.integers(0, 40))
def test_the_decision_gives_the_same_bits(decided: Callable[..., None], seed: int, n: int) -> None:
    rows, returns = any_universe(n, seed)
    account = Account(1e6 * (1 + seed % 3), 0.05, seed % 2 == 0)
    lim = (LONG, SHORT)[seed % 2]
    expected, found = np.zeros(n, decide.DECISION), np.empty(n, decide.DECISION)
    found.view(np.uint8)[:] = 0x55  # it writes every field, whatever was there
    with np.errstate(all="ignore"):
        decide.decide_into(lim, account, rows, returns, expected)
    decided(lim, account, rows, returns, found)
    for name in decide.DECISION.names:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        assert found[name].tobytes() == expected[name].tobytes(), name


@needs_numba
def test_these_universes_hold_every_outcome(decided: Callable[..., None]) -> None:
    actions, refused, bound = set(), 0, set()
    for seed in range(60):
        rows, returns = any_universe(30, seed)
        out = np.zeros(30, decide.DECISION)
        decided(SHORT, Account(1e6, 0.05, False), rows, returns, out)
        actions |= set(out["action"].tolist())
        bound |= set(out["bound"].tolist())
        refused |= int(np.bitwise_or.reduce(out["refused"]))
    assert actions == {-1, 0, 1} and {0, 1, 3, 6} <= bound
    for name in ("NO_PREDICTION", "NOT_FINITE", "KELLY", "NO_ROOM", "LOCKED"):
        assert refused & int(Refusal[name]), name


# Array forms and the loops that a compiler takes instead: the same, uncompiled too

CHANGING = [f.name for part in (Book, Log, Scratch) for f in fields(part)]
LOOPS_OWN = {"found", "fetched"}  # which array forms leave as they are


def owned(value: Any) -> Any:
    """A copy of all that a kernel may write to."""
    if isinstance(value, World):
        return replace(value, **{name: deepcopy(getattr(value, name)) for name in CHANGING})
    return np.array(value) if isinstance(value, memoryview) else deepcopy(value)


def equal(one: Any, other: Any) -> None:
    if isinstance(one, World):
        for name in sorted(set(CHANGING) - LOOPS_OWN):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    elif isinstance(one, tuple):
        for mine, theirs in zip(one, other, strict=True):
            equal(mine, theirs)
    elif getattr(one, "dtype", None) is not None and one.dtype.names:
        for name in one.dtype.names:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    else:
        np.testing.assert_array_equal(one, other)


class Spy:
    """Runs the loop beside every call of an array form, on arrays of its own."""

    def __init__(self) -> None:
        modules = [m for name, m in sys.modules.items() if name.startswith("hybridnb.")]
        named = [(m, name, f) for m in modules for name, f in vars(m).items()]
        functions = [(m, name, f) for m, name, f in named if isinstance(f, FunctionType)]
        self.places = [(m, name, f) for m, name, f in functions if hasattr(f, "loop")]
        self.calls: Counter[str] = Counter()

    def beside(self, form: Any) -> Callable[..., Any]:
        def both(*given_: Any) -> Any:
            if any(isinstance(each, dict) for each in given_):
                return form(*given_)  # columns, where a loop takes records
            mine = tuple(map(owned, given_))
            found, looped = form(*given_), form.loop(*mine)
            equal(found, looped)
            equal(given_, mine)
            self.calls[form.__name__] += 1
            return found

        return both


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    watching = Spy()
    for module, name, form in watching.places:
        monkeypatch.setattr(module, name, watching.beside(form))
    return watching


def test_each_loop_does_what_its_array_form_does_at_every_call(spy: Spy, past_of: Make) -> None:
    for seed in (1, 4, 7):
        past = past_of(seed)
        found = past.replay(stop=past.start + 25)
        assert len(found.trades) > 0
    for seed in range(20):
        rows, returns = any_universe(20, seed)
        with np.errstate(all="ignore"):
            decide.decide((LONG, SHORT)[seed % 2], Account(1e6, 0.05, False), rows, returns)
    every = {form.__name__ for _, _, form in spy.places}
    assert len(every) > 8
    assert {name for name in every if spy.calls[name] < 10} == set()


@given(seed=st.integers(0, 2**31), t=st.integers(0, 300))
def test_the_loop_of_the_tail_keeps_the_smallest_as_sorting_does(seed: int, t: int) -> None:
    rng = np.random.default_rng(seed)
    book, returns = rng.normal(0, 0.01, t), np.round(rng.normal(0, 0.02, t), 2)
    returns[rng.random(t) < 0.1 * (seed % 3)] = rng.choice([NAN, INF, -INF])
    more = float(rng.uniform(-1, 1))
    with np.errstate(all="ignore"):
        expected = sizing.tail_risk_with(book, more, returns)
        assert bits(sizing.tail_risk_with.loop(book, more, returns)) == bits(expected)
        var, es = expected
        for limits in ((0.02, 0.03), (var, es), (np.nextafter(var, 0.0), es), (var, es * 1.001)):
            found = (0.0, 0.0) if var <= limits[0] and es <= limits[1] else expected
            for form in (sizing.tail_beyond, sizing.tail_beyond.loop):
                assert bits(form(book, more, returns, *limits)) == bits(found)


@given(seed=st.integers(0, 2**31), n=st.integers(0, 30))
def test_the_loops_of_the_blend_fill_the_same_records(seed: int, n: int) -> None:
    rows, _ = any_universe(n, seed)
    lim = (LONG, SHORT)[seed % 2]
    arrays, looped = np.zeros(n, decide.DECISION), np.zeros(n, decide.DECISION)
    with np.errstate(all="ignore"):
        for form in (blender.blend_arrays, decide._without_entries):
            form(lim, rows, arrays)
            form.loop(lim, rows, looped)  # type: ignore[attr-defined]
    for name in decide.DECISION.names:
        assert arrays[name].tobytes() == looped[name].tobytes(), name


# The whole loop


@needs_numba
@pytest.mark.parametrize("seed", range(16))
def test_the_whole_replay_gives_the_same_bits(twin: Any, past_of: Make, seed: int) -> None:
    past = past_of(seed)
    same(past.replay(), past.replay(run=twin.run))


@needs_numba
@given(seed=st.integers(0, 2**31))
def test_whatever_the_market_the_replay_gives_the_same_bits(
    twin: Any, past_of: Make, seed: int
) -> None:
    past = past_of(seed, sessions=15, names=9)
    same(past.replay(), past.replay(run=twin.run))


@needs_numba
def test_views_asked_for_between_sessions_reach_the_twin(twin: Any, past_of: Make) -> None:
    past = past_of(3)

    def asked(w: Any, t: int) -> np.ndarray:
        return 0.5 + 0.4 * np.sin(w.quantity + np.arange(len(w.quantity)) + t)

    plain = past.replay(hints=asked)
    assert len(plain.fills) > 0
    same(plain, past.replay(run=twin.run, hints=asked))


@needs_numba
def test_arrays_in_any_layout_give_the_same_bits(twin: Any, past_of: Make) -> None:
    past = past_of(7)
    tape = replace(
        past.tape,
        open=np.asfortranarray(past.tape.open),
        p_short=np.repeat(past.tape.p_short, 2, axis=1)[:, ::2],
        returns=np.asfortranarray(past.tape.returns),
    )
    same(past.replay(), replace(past, tape=tape).replay(run=twin.run))


def same(plain: Any, fast: Any) -> None:
    """Every row, every mark and the account after them, to the bit."""
    for name in ("orders", "fills", "trades", "equity"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name), err_msg=name)
    assert fast.sha256 == plain.sha256
    for name in plain.book.__dataclass_fields__:
        found, expected = getattr(fast.book, name), getattr(plain.book, name)
        assert found.tobytes() == expected.tobytes(), name


SECOND = """
import pickle, sys
from pathlib import Path
import numpy as np
from hybridnb.replay.compiler import compiled
from hybridnb.replay.run import replay, sessions
from hybridnb.replay.struct import entry
run = entry(compiled(sessions, cache=Path(sys.argv[1])))
tape, names, rules, cash, start = pickle.loads(Path(sys.argv[2]).read_bytes())
print(replay(tape, names, rules, cash=cash, start=start, run=run).sha256)
"""


@needs_numba
def test_another_process_finds_the_machine_code(twin: Any, past_of: Make, tmp_path: Path) -> None:
    past = past_of(6)
    expected = past.replay(run=twin.run).sha256
    kept = tmp_path / "past"
    kept.write_bytes(pickle.dumps((past.tape, past.names, past.rules, past.cash, past.start)))

    def cached() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in twin.cache.rglob("*") if p.is_file()}

    before = cached()
    assert before
    done = subprocess.run(
        [sys.executable, "-c", SECOND, str(twin.cache), str(kept)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
    assert cached() == before


@needs_numba
def test_machine_code_of_other_sources_lies_apart(tmp_path: Path) -> None:
    import numba

    compiled(sizing.kelly, cache=tmp_path)
    folder = Path(numba.config.CACHE_DIR)
    assert folder.parent == tmp_path and folder.name == compiler._sources_digest()


def test_the_digest_changes_with_any_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "hybridnb"
    (package / "replay").mkdir(parents=True)
    files = [package / "sizing.py", package / "replay" / "run.py", package / "replay" / "x.py"]
    for path in files:
        path.write_text("A = 1\n")
    monkeypatch.setattr(compiler, "__file__", str(package / "replay" / "compiler.py"))
    seen = {compiler._sources_digest()}
    assert compiler._sources_digest() in seen
    for path in files:
        path.write_text("A = 2\n")
        seen.add(compiler._sources_digest())
    files[0].rename(package / "other.py")
    seen.add(compiler._sources_digest())
    assert len(seen) == 5


# Without a compiler


def test_without_a_compiler_it_is_the_function_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "available", lambda: False)
    assert compiled(sessions) is sessions
    assert compiled(sizing.kelly, cache=Path("nowhere")) is sizing.kelly


def test_it_is_available_where_it_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not available()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "numba" or None)
    assert available()


@needs_numba
def test_the_plain_function_is_left_as_it_was() -> None:
    before = decide.decide_into.__globals__["size_row"]
    fast = compiled(decide.decide_into)
    assert fast is not decide.decide_into
    assert decide.decide_into.__globals__["size_row"] is before
    assert type(before) is type(call)
