"""Facts of each feed, what is refused at the door, the digest, and what a session may see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Basis, Bucket
from hybridnb.errors import InputError, UsageError
from hybridnb.market import calendar as exchange
from hybridnb.market.assemble import digest, until
from hybridnb.market.feeds import known_feeds
from hybridnb.market.folder import ingest
from hybridnb.market.instruments import SymbolParams, classify, instruments
from hybridnb.market.sample import SPLITS
from hybridnb.policy import Lists
from hybridnb.ports import BAR_COLUMNS, MarketData

Load = Callable[..., MarketData]
Bars = Callable[..., pd.DataFrame]

PRICES = ["open", "high", "low", "close"]


def written(bars: pd.DataFrame, path: Path) -> Path:
    bars.to_csv(path, index=False)
    return path


def stored(path: Path, store: Path, **given: str | None) -> dict[str, object]:
    asked: dict[str, str | None] = {"calendar": None, "zone": None, "currency": None}
    return ingest(path, store=store, **(asked | given))  # type: ignore[arg-type]


# What every feed keeps -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sample", "closes", "planted"])
def test_a_feed_keeps_the_form_of_the_seam(name: str, load: Load) -> None:
    market = load(name)
    bars = market.bars
    assert market.feed == name
    assert tuple(bars.columns) == BAR_COLUMNS
    assert bars.index.equals(pd.RangeIndex(len(bars)))
    assert bars.sort_values(["symbol", "session"]).index.equals(bars.index)
    assert (bars["session"] == bars["session"].dt.normalize()).all()
    assert bars["session"].dt.tz is None
    assert np.isfinite(bars[PRICES].to_numpy()).all()
    first, last = bars["session"].min(), bars["session"].max()
    assert bars["session"].isin(exchange.sessions(market.calendar, first, last)).all()
    assert market.index.index.is_monotonic_increasing
    assert set(bars["session"].unique()) <= set(market.index.index)
    assert (market.index > 0).all()
    assert set(bars["symbol"]) | set(market.excluded) == set(market.instruments)
    assert not set(bars["symbol"]) & set(market.excluded)
    assert {i.currency for i in market.instruments.values()} == {market.currency}
    assert market.digest == digest(bars)


def test_sample_is_five_names_with_their_splits_gone(load: Load) -> None:
    market = load("sample")
    assert sorted(market.bars["symbol"].unique()) == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert {i.bucket for i in market.instruments.values()} == {Bucket.CORE}
    assert (market.calendar, market.currency, market.basis) == ("XNYS", "USD", Basis.OHLCV)
    assert market.bars["session"].max() == pd.Timestamp("2013-03-01")
    assert set(market.bars.groupby("symbol")["session"].max()) == {pd.Timestamp("2013-03-01")}
    assert market.excluded == {}
    wide = market.bars.pivot(index="session", columns="symbol", values="close")
    nights = wide.pct_change(fill_method=None)
    for symbol, day, _ in SPLITS:
        assert abs(nights.loc[day, symbol]) < 0.10
    assert nights.loc["2000-09-29", "AAPL"] == pytest.approx(-0.519, abs=0.001)


def test_sample_s_last_prices_are_as_traded_and_its_first_are_adjusted(load: Load) -> None:
    """AAPL was split 2:1 twice after 2000-03-01: 130.31 as traded is 32.58 adjusted."""
    bars = load("sample").bars.set_index(["symbol", "session"])
    assert bars.loc[("AAPL", "2013-03-01"), "close"] == 430.47
    assert bars.loc[("AAPL", "2000-03-01"), "close"] == 130.31 / 4
    assert bars.loc[("MSFT", "2000-03-01"), "close"] == 90.81 / 2
    assert bars.loc[("AAPL", "2000-03-01"), "volume"] == 9_616_100 * 4


def test_sample_s_index_is_the_s_and_p_500(load: Load) -> None:
    index = load("sample").index
    assert index.loc["2013-03-01"] == pytest.approx(1518.20, abs=0.01)
    assert index.loc["2009-03-09"] == pytest.approx(676.53, abs=0.01)
    assert index.notna().all()


def test_closes_have_one_price_and_no_volume(load: Load) -> None:
    market = load("closes")
    assert (market.calendar, market.currency, market.basis) == ("XNYS", "USD", Basis.CLOSE)
    assert len(market.instruments) == 20
    for name in ("open", "high", "low"):
        assert market.bars[name].equals(market.bars["close"].rename(name))
    assert market.bars["volume"].isna().all()
    assert market.bars["session"].min() == pd.Timestamp("1990-01-02")
    assert market.bars["session"].max() == pd.Timestamp("2022-12-28")
    # An unadjusted fall to a third in April 1990: out of the universe, and said.
    assert list(market.excluded) == ["RRC"]
    assert market.excluded["RRC"].startswith("split: 1990-04-10")


def test_bundled_feeds_need_no_network() -> None:
    code = (
        "import socket\n"
        "def no(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "from hybridnb.market.feeds import FeedRequest\n"
        "from hybridnb.market import closes, planted, sample\n"
        "print(*(m.load(FeedRequest(seed=7)).digest for m in (closes, planted, sample)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(set(ran.stdout.split())) == 3


# At the door ---------------------------------------------------------------------------------


def test_the_four_built_in_feeds_are_known() -> None:
    assert {"sample", "closes", "folder", "planted"} <= set(known_feeds())


def test_an_unknown_feed_is_refused_with_the_known_ones(load: Load) -> None:
    with pytest.raises(UsageError) as caught:
        load("smaple")
    assert caught.value.exit_code == 2
    assert all(name in caught.value.remedy for name in ("sample", "closes", "folder", "planted"))


@pytest.mark.parametrize("name", ["sample", "closes", "planted"])
def test_data_for_a_feed_that_takes_none_is_refused(name: str, load: Load, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no --data"):
        load(name, tmp_path)


def test_a_folder_without_data_is_refused(load: Load) -> None:
    with pytest.raises(UsageError, match="needs bars"):
        load("folder")


# The folder ----------------------------------------------------------------------------------


def test_the_calendar_is_guessed_from_the_suffixes(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    here = load("folder", written(bars_of("AAA.TO", "BBB.V"), tmp_path / "a.csv"))
    assert (here.calendar, here.currency) == ("XTSE", "CAD")
    there = load("folder", written(bars_of("AAA", "BBB", calendar="XNYS"), tmp_path / "b.csv"))
    assert (there.calendar, there.currency) == ("XNYS", "USD")
    named = load("folder", tmp_path / "a.csv", currency="USD")
    assert named.currency == "USD"


def test_a_currency_nobody_knows_is_asked_for(load: Load, bars_of: Bars, tmp_path: Path) -> None:
    path = written(bars_of("BTC", calendar="24/7"), tmp_path / "coins.csv")
    with pytest.raises(UsageError, match="currency of 24/7"):
        load("folder", path, calendar="24/7")
    assert load("folder", path, calendar="24/7", currency="USD").currency == "USD"


def test_a_name_that_lacks_sessions_is_left_out_and_named(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    names = [f"N{i:02d}.TO" for i in range(25)]
    bars = bars_of(*names)
    rows = bars.index[bars["symbol"] == "N03.TO"][[10, 20, 30, 40]]
    market = load("folder", written(bars.drop(rows), tmp_path / "bars.csv"))
    assert list(market.excluded) == ["N03.TO"]
    assert market.excluded["N03.TO"].startswith("completeness")
    assert "N03.TO" not in set(market.bars["symbol"])
    assert "N03.TO" in market.instruments
    others = market.bars.groupby("session")["close"].size()
    assert (others == 24).all()


def test_the_index_without_one_is_equally_weighted(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    market = load("folder", written(bars_of(), tmp_path / "bars.csv"))
    wide = market.bars.pivot(index="session", columns="symbol", values="close")
    mean = wide.pct_change().iloc[1:].mean(axis=1)
    assert market.index.iloc[0] == 100.0
    assert market.index.iloc[1:].to_numpy() == pytest.approx(100 * (1 + mean).cumprod().to_numpy())


# Ingest --------------------------------------------------------------------------------------


def test_ingest_keeps_a_checked_copy_by_its_digest(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    path, store = written(bars_of(), tmp_path / "bars.csv"), tmp_path / "new" / "store"
    report = stored(path, store)
    assert (report["rows"], report["symbols"]) == (120, ["AAA.TO", "BBB.TO"])
    assert (report["first"], report["last"]) == ("2023-01-03", "2023-03-28")
    assert {"findings", "excluded", "notes", "calendar", "currency"} <= set(report)
    copy = Path(str(report["stored"]))
    assert list(store.iterdir()) == [copy]
    assert str(report["digest"])[:16] in copy.name
    assert load("folder", copy).digest == report["digest"] == load("folder", path).digest


def test_ingest_twice_is_once_whatever_the_order_and_the_format(
    bars_of: Bars, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = stored(written(bars_of(), tmp_path / "a.csv"), store)
    bytes_ = Path(str(first["stored"])).read_bytes()
    mixed = bars_of().sample(frac=1.0, random_state=1)
    mixed.to_parquet(tmp_path / "b.parquet", index=False)
    second = stored(tmp_path / "b.parquet", store)
    assert second["stored"] == first["stored"]
    assert second["notes"] != first["notes"] == []
    assert len(list(store.iterdir())) == 1
    assert Path(str(first["stored"])).read_bytes() == bytes_


def test_ingest_of_a_broken_file_stores_nothing(bars_of: Bars, tmp_path: Path) -> None:
    bars = bars_of()
    bars.loc[3, "close"] = -1.0
    with pytest.raises(InputError):
        stored(written(bars, tmp_path / "bars.csv"), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_ingest_takes_a_calendar_whose_name_has_a_slash(bars_of: Bars, tmp_path: Path) -> None:
    path = written(bars_of("BTC", calendar="24/7"), tmp_path / "coins.csv")
    report = stored(path, tmp_path / "store", calendar="24/7", currency="USD")
    assert Path(str(report["stored"])).parent == tmp_path / "store"


def test_a_copy_that_can_t_be_written_leaves_nothing_behind(
    bars_of: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        stored(written(bars_of(), tmp_path / "bars.csv"), tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


# The digest ----------------------------------------------------------------------------------


def test_the_digest_reads_values_and_no_dtypes(load: Load) -> None:
    bars = load("planted").bars
    same = {
        "seconds": bars.assign(session=bars["session"].astype("datetime64[s]")),
        "dates": bars.assign(session=bars["session"].dt.date),
        "objects": bars.assign(symbol=bars["symbol"].astype(object)),
        "categories": bars.assign(symbol=bars["symbol"].astype("category")),
        "integers": bars.assign(volume=bars["volume"].astype("int64")),
        "nullable": bars.assign(close=bars["close"].astype("Float64")),
        "big-endian": bars.assign(close=bars["close"].to_numpy().astype(">f8")),
        "other index": bars.set_index(bars.index + 7),
        "other columns": bars[list(reversed(bars.columns))],
    }
    assert {name: digest(frame) for name, frame in same.items()} == dict.fromkeys(
        same, digest(bars)
    )


def test_a_missing_value_and_a_signed_zero_are_one_value_each(bars_of: Bars) -> None:
    bars = bars_of().rename(columns={"date": "session"})
    bars["session"] = pd.to_datetime(bars["session"])
    nan = np.frombuffer(np.uint64(0xFFF8000000000123).tobytes(), np.float64)[0]
    assert digest(bars.assign(volume=np.nan)) == digest(bars.assign(volume=nan))
    assert digest(bars.assign(volume=0.0)) == digest(bars.assign(volume=-0.0))


@given(
    row=st.integers(0, 39),
    column=st.sampled_from(["open", "high", "low", "close", "volume"]),
    up=st.booleans(),
)
def test_the_smallest_change_of_any_value_is_another_digest(
    bars_of: Bars, row: int, column: str, up: bool
) -> None:
    bars = bars_of(sessions=20).rename(columns={"date": "session"})
    bars["session"] = pd.to_datetime(bars["session"])
    before = digest(bars)
    bars.loc[row, column] = np.nextafter(bars.loc[row, column], np.inf if up else -np.inf)
    assert digest(bars) != before
    renamed = bars.assign(symbol=bars["symbol"].replace("BBB.TO", "BBC.TO"))
    assert digest(renamed) != digest(bars)


# What a session may see ----------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 20, 41, 58, 59])
def test_until_equals_loading_what_was_there(
    place: int, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    bars = bars_of()
    day = sorted(bars["date"].unique())[place]
    cut = until(load("folder", written(bars, tmp_path / "all.csv")), pd.Timestamp(day))
    then = load("folder", written(bars[bars["date"] <= day], tmp_path / "then.csv"))
    assert cut.digest == then.digest
    pd.testing.assert_frame_equal(cut.bars, then.bars)
    pd.testing.assert_series_equal(cut.index, then.index, rtol=0, atol=0)


def test_until_the_last_session_changes_nothing(load: Load) -> None:
    market = load("planted")
    assert until(market, market.bars["session"].max()).digest == market.digest


def test_until_leaves_later_headlines_out(load: Load) -> None:
    """Toronto closes at 16:00, at 13:00 on Christmas Eve: 21:00 and 18:00 UTC."""
    stamps = ["2023-12-21 21:00", "2023-12-21 21:01", "2023-12-22 09:00", "2024-01-02 15:00"]
    news = pd.DataFrame(
        {
            "symbol": "CORE01.TO",
            "text": ["at the close", "after it", "in the night", "next year"],
            "available_at": pd.DatetimeIndex(stamps, tz="UTC"),
        }
    )
    market = replace(load("planted"), headlines=news)
    seen = {
        day: until(market, pd.Timestamp(day)).headlines["text"].tolist()  # type: ignore[index]
        for day in ("2023-12-20", "2023-12-21", "2023-12-22")
    }
    assert seen == {
        "2023-12-20": [],
        "2023-12-21": ["at the close"],
        "2023-12-22": ["at the close", "after it", "in the night"],
    }


# Classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "lists", "given_", "bucket"),
    [
        ("ABC.V", {}, None, Bucket.PENNY),
        ("ABC.TO", {}, None, Bucket.CORE),
        ("VFV.TO", {}, None, Bucket.SIP),
        ("ABC", {}, None, Bucket.UNKNOWN),
        ("ABC", {"core": ["ABC"]}, None, Bucket.CORE),
        ("ABC", {"fno": ["ABC"]}, None, Bucket.FNO),
        ("ABC", {}, Bucket.FNO, Bucket.FNO),
        # In two classes, the tighter one holds.
        ("ABC.TO", {"fno": ["ABC.TO"]}, None, Bucket.FNO),
        ("ABC.V", {"fno": ["ABC.V"]}, None, Bucket.PENNY),
        ("ABC.V", {"core": ["ABC.V"]}, Bucket.CORE, Bucket.PENNY),
        ("ABC.TO", {}, Bucket.PENNY, Bucket.PENNY),
        ("VFV.TO", {"core": ["VFV.TO"], "fno": ["VFV.TO"]}, Bucket.CORE, Bucket.SIP),
        # A suffix is one at the end only, dot included.
        ("ABC.V.X", {}, None, Bucket.UNKNOWN),
        ("ABCTO", {}, None, Bucket.UNKNOWN),
    ],
)
def test_classes(
    symbol: str, lists: dict[str, list[str]], given_: Bucket | None, bucket: Bucket
) -> None:
    chosen = Lists.model_validate(lists)
    assert classify(symbol, lists=chosen, sip_symbol="VFV.TO", given=given_) is bucket


def test_a_default_holds_only_without_a_class() -> None:
    asked = {"lists": Lists(), "sip_symbol": "VFV.TO", "default": Bucket.CORE}
    assert classify("IBM", **asked) is Bucket.CORE  # type: ignore[arg-type]
    assert classify("ABC.V", **asked) is Bucket.PENNY  # type: ignore[arg-type]


def test_an_instrument_takes_what_the_user_wrote() -> None:
    written_ = SymbolParams(
        bucket=Bucket.FNO, sector="energy", currency="USD", lot=5, multiplier=100, delta=-0.4,
        margin_rate=0.3, tick=100,
    )  # fmt: skip
    found = instruments(
        ["B.TO", "A.TO"],
        lists=Lists(),
        sip_symbol="VFV.TO",
        currency="CAD",
        given={"B.TO": written_},
    )
    assert list(found) == ["A.TO", "B.TO"]
    a, b = found.values()
    assert (a.bucket, a.currency, a.lot, a.multiplier, a.delta) == (Bucket.CORE, "CAD", 1, 1, 1.0)
    assert (b.bucket, b.sector, b.currency, b.lot) == (Bucket.FNO, "energy", "USD", 5)
    assert (b.multiplier, b.delta, b.margin_rate, b.tick) == (100, -0.4, 0.3, 100)
