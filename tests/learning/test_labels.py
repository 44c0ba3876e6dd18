"""Labels by hand: what a prediction at a close turned out to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.learning.labels import forward_up, triple_barrier

NAN = np.nan


def bars(*rows: tuple[float, float, float, float], symbol: str = "A") -> pd.DataFrame:
    """Bars of (open, high, low, close), a session each."""
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"])
    sessions = pd.bdate_range("2024-01-01", periods=len(rows))
    return frame.assign(symbol=symbol, session=sessions, volume=1.0)


def barrier(frame: pd.DataFrame, **over: Any) -> list[float]:
    """Labels for an ATR of 1, a stop of 2 and a target of 3, within 3 sessions."""
    given_ = {"side": "long", "stop": 2.0, "target": 3.0, "horizon": 3} | over
    return triple_barrier(frame, np.ones(len(frame)), **given_).tolist()


def mirrored(frame: pd.DataFrame) -> pd.DataFrame:
    """Prices reflected in 100: what rose falls."""
    flipped = 200.0 - frame[["open", "low", "high", "close"]].to_numpy()
    return frame.assign(**dict(zip(("open", "high", "low", "close"), flipped.T, strict=True)))


FLAT = (100.0, 101.0, 99.0, 100.0)


def test_forward_up_by_hand() -> None:
    closes = [1.0, 2.0, 2.0, 1.0, 3.0]
    frame = bars(*[(c, c, c, c) for c in closes])
    np.testing.assert_array_equal(forward_up(frame, 1), [1, 0, 0, 1, NAN])
    np.testing.assert_array_equal(forward_up(frame, 2), [1, 0, 1, NAN, NAN])
    np.testing.assert_array_equal(forward_up(frame, 5), [NAN] * 5)


def test_forward_up_never_crosses_symbols() -> None:
    up = bars(FLAT, (101.0, 102.0, 100.0, 101.0))
    both = pd.concat([up, up.assign(symbol="B")], ignore_index=True)
    np.testing.assert_array_equal(forward_up(both, 1), [1, NAN, 1, NAN])


@given(
    closes=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=30),
    horizon=st.integers(1, 10),
)
def test_forward_up_is_unknown_in_the_last_rows_only(closes: list[float], horizon: int) -> None:
    label = forward_up(bars(*[(c, c, c, c) for c in closes]), horizon)
    known = max(len(closes) - horizon, 0)
    expected = [float(closes[i + horizon] > closes[i]) for i in range(known)]
    np.testing.assert_array_equal(label, expected + [NAN] * (len(closes) - known))


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([(100, 103, 99, 102)], 1.0),  # the target on the entry bar itself
        ([(100, 102, 98, 99)], 0.0),  # the stop on the entry bar itself
        ([(100, 103, 98, 100)], 0.0),  # both inside one bar: the stop first
        ([FLAT, (103.5, 104, 97, 98)], 1.0),  # a later open beyond the target is before the range
        ([FLAT, (97.0, 104, 96, 103)], 0.0),  # a later open beyond the stop
        ([FLAT, FLAT, (100, 103, 99, 103)], 1.0),  # in the last session of the horizon
        ([FLAT, FLAT, FLAT, (100, 103, 99, 103)], 0.0),  # one session too late
        ([FLAT, FLAT, FLAT], 0.0),  # neither
        ([FLAT, FLAT], NAN),  # not known yet
        ([FLAT, (100, 103, 99, 103)], 1.0),  # known before the horizon is over
        ([], NAN),  # no entry yet
    ],
)
def test_first_row_by_hand(later: list[tuple[float, ...]], expected: float) -> None:
    frame = bars(FLAT, *later)  # type: ignore[arg-type]
    np.testing.assert_array_equal(barrier(frame)[0], expected)
    np.testing.assert_array_equal(barrier(mirrored(frame), side="short")[0], expected)


def test_entry_is_the_next_open_not_the_close() -> None:
    # From the close of 100 a high of 103 is the target; from the open of 101 it is not.
    assert barrier(bars(FLAT, (101, 103, 100, 101), FLAT, (99, 99.5, 98.5, 99)))[0] == 0.0
    assert barrier(bars(FLAT, (101, 104, 100, 101), FLAT, FLAT))[0] == 1.0


def test_unknown_atr_has_no_label() -> None:
    frame = bars(*[FLAT] * 5)
    atr = np.array([NAN, 1.0, NAN, 1.0, 1.0])
    label = triple_barrier(frame, atr, side="long", stop=2.0, target=3.0, horizon=2)
    np.testing.assert_array_equal(label, [NAN, 0, NAN, NAN, NAN])


def test_barriers_never_cross_symbols() -> None:
    calm, wild = bars(FLAT, FLAT), bars((100, 200, 1, 100), FLAT, symbol="B")
    np.testing.assert_array_equal(barrier(pd.concat([calm, wild], ignore_index=True)), [NAN] * 4)


@st.composite
def walks(draw: st.DrawFn) -> pd.DataFrame:
    """Bars of one symbol on a grid of halves, so that barriers are hit exactly now and then."""
    steps = draw(st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=1, max_size=25))
    wicks = draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=25, max_size=25))
    price, rows = 100.0, []
    for (gap, move), (up, down) in zip(steps, wicks, strict=False):
        opened = price + gap / 2
        price = opened + move / 2
        high, low = max(opened, price) + up / 2, min(opened, price) - down / 2
        rows.append((opened, high, low, price))
    return bars(*rows)


def plainly(frame: pd.DataFrame, *, stop: float, target: float, horizon: int) -> list[float]:
    """The long side's definition, a row and a bar at a time."""
    o, h, lo = (frame[n].tolist() for n in ("open", "high", "low"))
    out = []
    for i in range(len(o)):
        label = NAN
        for k in range(i + 1, min(i + horizon, len(o) - 1) + 1):
            win, loss = o[i + 1] + target, o[i + 1] - stop
            if k > i + 1 and o[k] >= win:
                label = 1.0
            elif lo[k] <= loss:
                label = 0.0
            elif h[k] >= win:
                label = 1.0
            elif k == i + horizon:
                label = 0.0
            if label == label:
                break
        out.append(label)
    return out


@given(frame=walks(), horizon=st.integers(1, 8), stop=st.integers(1, 4), target=st.integers(1, 4))
def test_equals_the_definition_bar_by_bar(
    frame: pd.DataFrame, horizon: int, stop: int, target: int
) -> None:
    wanted = plainly(frame, stop=stop, target=target, horizon=horizon)
    found = barrier(frame, stop=float(stop), target=float(target), horizon=horizon)
    np.testing.assert_array_equal(found, wanted)
    short = barrier(
        mirrored(frame), side="short", stop=float(stop), target=float(target), horizon=horizon
    )
    np.testing.assert_array_equal(short, wanted)


@given(frame=walks(), cut=st.integers(1, 25))
def test_later_bars_change_no_known_label(frame: pd.DataFrame, cut: int) -> None:
    early, late = np.array(barrier(frame.iloc[:cut])), np.array(barrier(frame))[:cut]
    known = np.isfinite(early)
    np.testing.assert_array_equal(early[known], late[known])
