"""The audit of any feature function: what it catches, what it passes, what it won't judge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Status
from hybridnb.errors import UsageError
from hybridnb.gates.lookahead import Audit, Feature, audit
from hybridnb.gates.planted_leaks import synthetic_bars
from hybridnb.gates.recompute import (
    KEYS,
    call,
    differences,
    ready_bars,
    rounding,
    with_other_future,
)
from hybridnb.gates.stamps import stamp_checks

BARS = synthetic_bars(7, sessions=90)
Column = Callable[[pd.DataFrame], "pd.Series[float]"]
Make = Callable[[pd.DataFrame], pd.DataFrame]


def past(bars: pd.DataFrame, k: int) -> pd.Series:
    """The close k sessions before; after, where k is negative."""
    return bars["close"].groupby(bars["symbol"]).shift(k)


def over(bars: pd.DataFrame, what: str) -> pd.Series:
    """A figure of each symbol's whole history."""
    return bars["close"].groupby(bars["symbol"]).transform(what)


def known(bars: pd.DataFrame) -> pd.core.groupby.SeriesGroupBy:
    """Closes of all days but Wednesdays."""
    shown = bars["close"].where(bars["session"].dt.day_of_week != 2)
    return shown.groupby(bars["symbol"])


HONEST: dict[str, Column] = {
    "momentum": lambda b: b["close"] / past(b, 5) - 1.0,
    "average": lambda b: (b["close"] + past(b, 1) + past(b, 2)) / 3.0,
    "highest": lambda b: b["close"].groupby(b["symbol"]).cummax(),
    "rank": lambda b: b["close"].groupby(b["session"]).rank(pct=True),
    "filled": lambda b: known(b).ffill(),
    "range": lambda b: (b["high"] - b["low"]) / b["close"],
}


def ahead(bars: pd.DataFrame) -> pd.Series:
    return past(bars, -1) / bars["close"] - 1.0


def short_sighted(bars: pd.DataFrame) -> pd.Series:
    """Honest on short data, the future's return on data that is long enough."""
    return ahead(bars) if len(bars) >= len(BARS) else HONEST["momentum"](bars)


def weekly(bars: pd.DataFrame) -> pd.Series:
    week = bars["session"] - pd.to_timedelta(bars["session"].dt.day_of_week, unit="D")
    return bars["close"].groupby([bars["symbol"], week]).transform("last")


LEAKS: dict[str, Column] = {
    "next return": ahead,
    "its end is filled": lambda b: ahead(b).fillna(0.0),
    "centred": lambda b: (past(b, -1).fillna(b["close"]) + b["close"] + past(b, 1)) / 3.0,
    "z of all": lambda b: (b["close"] - over(b, "mean")) / over(b, "std"),
    "min-max of all": lambda b: (b["close"] - over(b, "min")) / (over(b, "max") - over(b, "min")),
    "rank of all": lambda b: b["close"].groupby(b["symbol"]).rank(pct=True),
    "filled backwards": lambda b: known(b).bfill(),
    "weekly": weekly,
    "across symbols": lambda b: b["close"].shift(1) / b["close"],
    "short-sighted": short_sighted,
    "behind an offset": lambda b: 1e9 + ahead(b),
    "behind an outlier": lambda b: ahead(b).where(b.index != 40, 1e15),
    "last row is honest": lambda b: ahead(b).fillna(HONEST["momentum"](b)),
}


def function(columns: dict[str, Column]) -> Make:
    return lambda bars: bars[KEYS].assign(**{name: make(bars) for name, make in columns.items()})


def audited(make: object, *, bars: pd.DataFrame = BARS, **more: object) -> Audit:
    given_ = {"seed": 3} | more
    return audit(make, bars, **given_)  # type: ignore[arg-type]


def only(make: Column, **more: object) -> Feature:
    (found,) = audited(function({"it": make}), **more).features
    return found


def test_honest_features_pass_and_every_leak_is_caught() -> None:
    found = audited(function(HONEST | LEAKS))
    assert {f.name for f in found.features if f.status is Status.PASS} == set(HONEST)
    assert {f.name for f in found.features if f.status is Status.FAIL} == set(LEAKS)
    assert found.status is Status.FAIL and len(found.cuts) == 50
    assert all(f.n == 50 for f in found.features)
    assert {c.name: c.status for c in found.checks()} == {
        f"look-ahead, {f.name}": f.status for f in found.features
    }


def test_a_leak_is_named_with_its_first_cut_and_both_values() -> None:
    found = only(LEAKS["next return"])
    after = BARS[BARS["symbol"].eq(found.symbol)].reset_index(drop=True)
    at = int(after.index[after["session"].eq(found.session)][0])
    assert found.whole == pytest.approx(after["close"][at + 1] / after["close"][at] - 1.0)
    assert found.cut == found.session and np.isnan(found.again) and found.difference == np.inf
    assert found.wrong == 50 and "missing without the future" in found.detail
    shown = only(LEAKS["its end is filled"])
    assert shown.again == 0.0 and shown.difference == pytest.approx(abs(found.whole or 0.0))


def test_a_cut_alone_would_pass_the_extremes_of_the_beginning() -> None:
    """So the future is replaced as well; here no close after the first cuts is an extreme."""
    bars = BARS.copy()
    bars.loc[bars.groupby("symbol").head(2).index, "close"] *= np.tile([9.0, 0.1], 3)
    scaled = function({"it": LEAKS["min-max of all"]})
    whole = scaled(bars)
    for session in bars["session"].unique()[2:]:
        short = scaled(bars[bars["session"] <= session])
        assert short["it"].equals(whole["it"][short.index])
    assert audited(scaled, bars=bars).features[0].status is Status.FAIL


def test_what_proves_nothing_is_not_called_clean() -> None:
    unproven: dict[str, tuple[Column, str]] = {
        "missing": (lambda b: b["close"] * np.nan, "known at 0 cuts"),
        "rare": (lambda b: b["close"].where(b["session"].dt.day_of_week == 0), "known at"),
        "constant": (lambda b: b["close"] * 0.0 + 1.0, "constant"),
        "of its symbol": (lambda b: b["symbol"].eq("P01").astype(float), "constant"),
        "of its day": (lambda b: b["session"].dt.day.astype(float), "doesn't depend on the bars"),
    }
    found = audited(function({name: make for name, (make, _) in unproven.items()}))
    assert found.status is Status.INSUFFICIENT_EVIDENCE
    for feature in found.features:
        assert feature.status is Status.INSUFFICIENT_EVIDENCE
        assert feature.detail.startswith("not enough evidence")
        assert unproven[feature.name][1] in feature.detail


@pytest.mark.parametrize(
    ("bars", "cuts"),
    [
        (BARS, 49),
        (synthetic_bars(1, sessions=50), 50),
        (synthetic_bars(1, sessions=2), 50),
        (synthetic_bars(1, sessions=1), 50),
    ],
)
def test_fewer_than_fifty_cuts_are_not_enough(bars: pd.DataFrame, cuts: int) -> None:
    found = audited(function({"price": lambda b: b["close"]}), bars=bars, cuts=cuts)
    assert found.status is Status.INSUFFICIENT_EVIDENCE and len(found.cuts) < 50


def test_a_value_read_from_elsewhere_is_not_passed_on_the_bars_account() -> None:
    """A function that has the whole history in its pocket survives every cut."""
    pocket = function({"it": LEAKS["next return"]})(BARS)
    found = audited(lambda bars: bars[KEYS].merge(pocket, on=KEYS, how="left"))
    assert found.status is Status.INSUFFICIENT_EVIDENCE


def test_the_same_seed_finds_the_same() -> None:
    some = function({name: LEAKS[name] for name in ("next return", "z of all")})
    one, two = audited(some), audited(some)
    assert repr(one) == repr(two)


def test_the_function_gets_copies_and_may_order_its_rows() -> None:
    before = BARS.copy()

    def careless(bars: pd.DataFrame) -> pd.DataFrame:
        out = HONESTLY(bars).sort_values(["session", "symbol"], ascending=False)
        bars["close"] = -1.0
        del bars["volume"]
        return out

    told: list[str] = []
    assert audited(careless, say=told.append).status is Status.PASS
    assert len(told) == 5 and told[-1].startswith("cut 50 of 50")
    pd.testing.assert_frame_equal(BARS, before)


def test_other_number_types_are_numbers() -> None:
    found = audited(
        function(
            {
                "up": lambda b: b["close"] > past(b, 1),
                "count": lambda b: (b["close"] * 100).round().astype("int32"),
                "nullable": lambda b: HONEST["momentum"](b).astype("Float64"),
            }
        )
    )
    assert [f.status for f in found.features] == [Status.PASS] * 3


def raising(bars: pd.DataFrame) -> pd.DataFrame:
    raise KeyError("volume_usd")


def raising_on_short_data(bars: pd.DataFrame) -> pd.DataFrame:
    if len(bars) < len(BARS):
        raise ValueError("too short")
    return HONESTLY(bars)


def leaving(bars: pd.DataFrame) -> pd.DataFrame:
    raise SystemExit(0)


def more_columns_on_more_data(bars: pd.DataFrame) -> pd.DataFrame:
    out = HONESTLY(bars)
    return out if len(bars) == len(BARS) else out.drop(columns="rank")


def drawn_anew() -> Make:
    rng = np.random.default_rng(1)
    return lambda bars: bars[KEYS].assign(a=bars["close"], b=rng.normal(size=len(bars)))


HONESTLY = function({name: HONEST[name] for name in ("momentum", "rank")})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (raising, "raised KeyError: 'volume_usd'"),
        (raising_on_short_data, "on data cut at .* raised ValueError: too short"),
        (leaving, "raised SystemExit"),
        (lambda bars: None, "returned NoneType"),
        (lambda bars: HONESTLY(bars).to_numpy(), "returned ndarray"),
        (lambda bars: HONESTLY(bars)[KEYS], "no feature"),
        (lambda bars: HONESTLY(bars).drop(columns="session"), "no session"),
        (lambda bars: HONESTLY(bars).set_index(KEYS), "no symbol and no session"),
        (lambda bars: HONESTLY(bars).dropna(), "rows; the bars have"),
        (lambda bars: pd.concat([HONESTLY(bars)] * 2), "some of them twice"),
        (lambda bars: HONESTLY(bars).replace({"symbol": {"P01": "P99"}}), "no row for P01"),
        (lambda bars: HONESTLY(bars).assign(rank="high"), "rank holds"),
        (lambda bars: HONESTLY(bars).assign(rank=1j), "rank holds complex"),
        (more_columns_on_more_data, "columns differ from the whole's: rank"),
        (drawn_anew(), "b came out differently: nothing can be said"),
    ],
)
def test_a_broken_contract_is_said_plainly(make: object, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        audited(make)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("bars", "why"),
    [
        (BARS.drop(columns="symbol"), "no column symbol"),
        (BARS[:0], "no bars"),
        (pd.concat([BARS, BARS[:1]]), "two bars in one session"),
        (BARS.assign(session=BARS["session"].astype(str)), "not datetimes"),
        (BARS.assign(session=BARS["session"].where(BARS.index != 3)), "no session"),
    ],
)
def test_bars_that_cant_be_used_are_refused(bars: pd.DataFrame, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        audited(HONESTLY, bars=bars)


def closes(session: pd.Timestamp) -> pd.Timestamp:
    return session.tz_localize("UTC") + pd.Timedelta(hours=21)


STAMPS = BARS["session"].dt.tz_localize("UTC") + pd.Timedelta(hours=21)
LATER = STAMPS.where(BARS.index != 77, STAMPS + pd.Timedelta(seconds=1))
MISSING = STAMPS.where(BARS.index != 77)
NEWS = np.random.default_rng(5).normal(size=len(BARS))


def joined(stamps: pd.Series | None, *, column: str = "news_available_at") -> Make:
    """A feature from another table, by key, with its stamps."""
    table = BARS[KEYS].assign(news=NEWS)
    if stamps is not None:
        table = table.assign(**{column: stamps})
    return lambda bars: bars[KEYS].merge(table, on=KEYS, how="left")


@pytest.mark.parametrize("column", ["news_available_at", "available_at"])
@pytest.mark.parametrize(
    ("stamps", "status", "why"),
    [
        (STAMPS, Status.PASS, "available when decided"),
        (LATER, Status.FAIL, "late stamp: 1 of 270 values"),
        (MISSING, Status.FAIL, "missing"),
        (STAMPS.dt.tz_localize(None), Status.FAIL, "no time zone"),
        (STAMPS.astype(str), Status.FAIL, "no time zone"),
    ],
)
def test_stamps_are_held_against_the_decision(
    stamps: pd.Series, status: Status, why: str, column: str
) -> None:
    found = call(joined(stamps, column=column), BARS, on="all")
    as_series = pd.Series(STAMPS.to_numpy(), BARS["session"]).groupby(level=0).first()
    for decided in (closes, as_series):
        for declared in ([], ["news"]):
            checks = stamp_checks(found, BARS["session"], joined=declared, decided=decided)
            assert checks["news"].status is status and why in checks["news"].detail


def test_a_missing_value_needs_no_stamp() -> None:
    quiet = joined(MISSING)(BARS).assign(news=np.where(BARS.index == 77, np.nan, NEWS))
    found = call(lambda bars: quiet, BARS, on="all")
    checks = stamp_checks(found, BARS["session"], decided=closes)
    assert checks["news"].status is Status.PASS and checks["news"].n == len(BARS) - 1


def test_stamps_in_time_stand_in_for_the_bars_and_late_ones_fail() -> None:
    """The joined values don't depend on the bars: only their stamps can speak for them."""
    (found,) = audited(joined(STAMPS), decided=closes).features
    assert found.status is Status.PASS and "every stamp is in time" in found.detail
    (found,) = audited(joined(LATER), decided=closes).features
    assert found.status is Status.FAIL and found.detail.startswith("late stamp")


def test_a_joined_feature_without_stamps_is_refused() -> None:
    checks = stamp_checks(
        call(joined(None), BARS, on="all"), BARS["session"], joined=["news"], decided=closes
    )
    assert checks["news"].status is Status.FAIL and checks["news"].detail.startswith("refused")


def test_stamps_without_decisions_are_not_enough() -> None:
    found = call(joined(STAMPS), BARS, on="all")
    without = stamp_checks(found, BARS["session"])["news"]
    assert without.status is Status.INSUFFICIENT_EVIDENCE
    unknown = pd.Series([closes(BARS["session"][0])], BARS["session"][:1])
    assert stamp_checks(found, BARS["session"], decided=unknown)["news"].status is Status.FAIL


def test_what_is_declared_must_be_there() -> None:
    with pytest.raises(UsageError, match="declared as joined, but not returned: news"):
        audited(HONESTLY, joined=["news"])


@given(st.integers(0, 80), st.integers(0, 10_000))
def test_another_future_leaves_the_past_and_keeps_bars_whole(at: int, seed: int) -> None:
    ready = ready_bars(BARS)
    cut = pd.Timestamp(np.unique(ready["session"])[at])
    other = with_other_future(ready, cut, rng=np.random.default_rng(seed))
    past = ready["session"] <= cut
    pd.testing.assert_frame_equal(other[past], ready[past])
    assert other[KEYS].equals(ready[KEYS])
    later = other[~past]
    assert not np.isclose(later["close"], ready["close"][~past]).any()
    assert (later["low"] <= later["close"] * (1 + 1e-12)).all()
    assert (later["high"] >= later["close"] * (1 - 1e-12)).all()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_a_value_is_the_same_as_itself(values: list[float]) -> None:
    column = np.array(values)[:, None]
    assert not differences(column, column.copy(), rounding(column)).any()
    assert differences(column, column + 1.0, np.zeros(1))[np.abs(column) < 1e12].all()
