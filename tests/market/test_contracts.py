"""The bad-bars matrix: each broken rule is named with its file and row, and nothing is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridnb.domain import Basis
from hybridnb.errors import InputError, Missing, UsageError
from hybridnb.market.assemble import digest
from hybridnb.market.contracts import check_bars
from hybridnb.ports import BAR_COLUMNS, MarketData

Load = Callable[..., MarketData]
Bars = Callable[..., pd.DataFrame]
Write = Callable[[pd.DataFrame, Path], Path]
Break = Callable[[pd.DataFrame], pd.DataFrame]

ROW = 17  # the row that is broken, counted from 0
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


def as_csv(bars: pd.DataFrame, folder: Path) -> Path:
    path = folder / "bars.csv"
    bars.to_csv(path, index=False)
    return path


def as_parquet(bars: pd.DataFrame, folder: Path) -> Path:
    path = folder / "bars.parquet"
    bars.to_parquet(path, index=False)
    return path


FORMATS = {"csv": (as_csv, 2), "parquet": (as_parquet, 1)}  # writer, number of the first data row


def put(column: str, value: object) -> Break:
    """Write `value` into the broken row; a column that then holds two types becomes text."""

    def broken(bars: pd.DataFrame) -> pd.DataFrame:
        if isinstance(value, str) and pd.api.types.is_numeric_dtype(bars[column]):
            bars[column] = bars[column].map(repr)
        bars.loc[ROW, column] = value
        return bars

    return broken


def scaled(factor: float, *columns: str, until: int | None = ROW) -> Break:
    """Multiply prices of the broken row, or of it and every later one of its symbol."""

    def broken(bars: pd.DataFrame) -> pd.DataFrame:
        last = 59 if until is None else until
        bars.loc[ROW:last, list(columns or ("open", "high", "low", "close"))] *= factor
        return bars

    return broken


def repeated(bars: pd.DataFrame) -> pd.DataFrame:
    bars.loc[ROW, "date"] = bars.loc[ROW - 1, "date"]
    return bars


def clocked(bars: pd.DataFrame) -> pd.DataFrame:
    bars["date"] = pd.to_datetime(bars["date"]).dt.strftime("%Y-%m-%dT16:00:00-05:00")
    bars.loc[ROW, "date"] = bars.loc[ROW, "date"][:19]
    return bars


def mixed_adjusted(bars: pd.DataFrame) -> pd.DataFrame:
    """One close adjusted for a dividend of 5 %, its open, high and low as traded."""
    bars["Adj Close"] = bars["close"] * 0.95
    bars.loc[ROW, "close"] = bars.loc[ROW, "Adj Close"]
    return bars


def foreign(bars: pd.DataFrame) -> pd.DataFrame:
    bars["currency"] = "CAD"
    bars.loc[ROW, "currency"] = "USD"
    return bars


BROKEN: dict[str, tuple[Break, str]] = {
    "high under low": (scaled(0.9, "high"), "high ≥ all ≥ low"),
    "close over high": (scaled(1.1, "close"), "high ≥ all ≥ low"),
    "NaN price": (put("close", np.nan), "price missing"),
    "zero price": (put("open", 0.0), "price not positive"),
    "negative price": (put("low", -1.0), "price not positive"),
    "infinite price": (put("high", np.inf), "price not finite"),
    "price beyond any account": (put("high", 1e30), "price out of range"),
    "negative volume": (put("volume", -1.0), "volume out of range"),
    "infinite volume": (put("volume", np.inf), "volume out of range"),
    "NaN volume": (put("volume", np.nan), "volume missing"),
    "text in a price": (put("close", "twelve"), "text in a number"),
    "thousands separator": (put("close", "1,234.5"), "text in a number"),
    "text in a volume": (put("volume", "many"), "text in a number"),
    "duplicate key": (repeated, "duplicate key"),
    "time without a zone": (clocked, "time without a zone"),
    "lone time among dates": (put("date", "2023-01-26 16:00:00"), "time without a zone"),
    "zoned time among dates": (put("date", "2023-01-26T16:00:00Z"), "mixed times"),
    "day and month unclear": (put("date", "03/04/2023"), "unreadable time"),
    "no time": (put("date", ""), "unreadable time"),
    "day that isn't": (put("date", "2023-02-30"), "unreadable time"),
    "a Saturday": (put("date", "2023-01-28"), "no session"),
    "a holiday": (put("date", "2023-07-03"), "no session"),
    "beyond the calendar": (put("date", "2199-01-03"), "no session"),
    "no symbol": (put("symbol", ""), "symbol"),
    "symbol with a space": (put("symbol", "A B"), "symbol"),
    "another currency": (foreign, "currency"),
    "adjusted close among raw prices": (mixed_adjusted, "high ≥ all ≥ low"),
    "split 2:1": (scaled(0.5, until=None), "split"),
    "split 3:1": (scaled(1 / 3, until=None), "split"),
    "reverse split 1:10": (scaled(10.0, until=None), "split"),
    "bad tick": (scaled(1.4), "bad tick"),
}


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(load: Load, path: Path, **given: object) -> InputError:
    """The error of loading `path`; the file's bytes are as they were."""
    before = fingerprint(path)
    with pytest.raises(InputError) as caught:
        load("folder", path, **given)
    assert caught.value.exit_code == 2
    assert fingerprint(path) == before
    return caught.value


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_named(
    case: str, format_: str, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    spoil, rule = BROKEN[case]
    write, first = FORMATS[format_]
    path = write(spoil(bars_of()), tmp_path)
    error = refusal(load, path)
    assert (path.name, ROW + first, rule) in {(b.file, b.row, b.rule) for b in error.breaches}
    assert {b.rule for b in error.breaches} == {rule}
    assert {b.row for b in error.breaches} == {ROW + first}
    assert f"{path.name}, row {ROW + first}: {rule}" in str(error)


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("date", pd.NaT, "unreadable time"),
        ("date", pd.Timestamp("2023-01-26 16:00"), "time without a zone"),
        ("date", pd.Timestamp("2023-01-28"), "no session"),
    ],
)
def test_a_broken_typed_time_is_named(
    column: str, value: object, rule: str, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    bars = bars_of().astype({"date": "datetime64[ns]"})
    bars.loc[ROW, column] = value
    error = refusal(load, as_parquet(bars, tmp_path))
    assert [(b.row, b.rule) for b in error.breaches] == [(ROW + 1, rule)]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("column", [c for c in BAR_COLUMNS if c not in ("symbol", "session")])
def test_a_missing_column_is_named(
    column: str, format_: str, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    path = FORMATS[format_][0](bars_of().drop(columns=column), tmp_path)
    (breach,) = refusal(load, path).breaches
    assert (breach.file, breach.row, breach.rule) == (path.name, None, "missing column")
    assert column in breach.detail


@pytest.mark.parametrize("format_", FORMATS)
def test_an_adjusted_close_never_stands_for_the_raw_one(
    format_: str, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    path = FORMATS[format_][0](bars_of().rename(columns={"close": "Adj Close"}), tmp_path)
    (breach,) = refusal(load, path).breaches
    assert (breach.rule, breach.detail) == ("missing column", "there is no close column")


def test_two_columns_for_one_role_are_refused(load: Load, bars_of: Bars, tmp_path: Path) -> None:
    bars = bars_of()
    (breach,) = refusal(load, as_csv(bars.assign(CLOSE=bars["close"]), tmp_path)).breaches
    assert (breach.row, breach.rule) == (None, "duplicate column")


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("bars.csv", b"", "empty"),
        ("bars.csv", b"\n \n", "empty"),
        ("bars.csv", b"symbol,date,open,high,low,close,volume\n", "empty"),
        ("bars.parquet", b"", "empty"),
        ("bars.csv", PNG, "not a table"),
        ("picture.png", PNG, "not a table"),
        ("bars.parquet", PNG, "not a table"),
        ("bars.parquet", b"PAR1 and then nothing of the kind PAR1", "not a table"),
        ("bars.csv", bytes(range(256)) * 9, "not a table"),
        ("bars.csv", "prix,été\n1,2\n".encode("latin-1"), "not a table"),
        ("bars.csv", b"Dear reader,\nthis is a letter\n", "row length"),
        ("bars.csv", b"name,colour\nsky,blue\n", "not a table"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(
    name: str, content: bytes, rule: str, load: Load, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (breach,) = refusal(load, path).breaches
    assert (breach.file, breach.rule) == (name, rule)
    assert breach.row == (2 if rule == "row length" else None)


def test_a_folder_without_tables_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no bars here")
    with pytest.raises(InputError) as caught:
        load("folder", tmp_path)
    assert caught.value.exit_code == 2
    (breach,) = caught.value.breaches
    assert (breach.file, breach.row, breach.rule) == (str(tmp_path), None, "not a table")
    with pytest.raises(Missing):
        load("folder", tmp_path / "absent.csv")


def test_a_row_of_another_length_is_named(load: Load, bars_of: Bars, tmp_path: Path) -> None:
    lines = as_csv(bars_of(), tmp_path).read_text().splitlines()
    lines[ROW] += ",9"
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(lines))
    (breach,) = refusal(load, path).breaches
    assert (breach.row, breach.rule) == (ROW + 1, "row length")


def test_a_row_of_another_length_that_is_no_text_isn_t_dropped(
    load: Load, bars_of: Bars, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = as_csv(bars_of(), tmp_path).read_bytes().splitlines()
    path = tmp_path / "bars.csv"
    path.write_bytes(b"\n".join([*lines[:ROW], lines[ROW] + b",\xff", *lines[ROW + 1 :]]))
    (breach,) = refusal(load, path).breaches
    assert (breach.rule, breach.detail) == ("not a table", "the file isn't UTF-8 text")
    assert capfd.readouterr().err == ""


def test_every_rule_is_reported_at_once_in_the_file_s_order(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    bars = bars_of()
    bars.loc[40, "close"] = np.nan
    bars.loc[5, "volume"] = -1.0
    bars.loc[70, "date"] = "2023-01-28"
    error = refusal(load, as_csv(bars, tmp_path))
    assert [(b.row, b.rule) for b in error.breaches] == [
        (7, "volume out of range"),
        (42, "price missing"),
        (72, "no session"),
    ]
    assert [b["row"] for b in error.as_dict()["breaches"]] == [7, 42, 72]


def test_a_million_broken_rows_are_counted_and_a_thousand_named(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    rows = 1_000_000
    header = "symbol,date,open,high,low,close,volume\n"
    path.write_text(header + "AAA.TO,2023-01-10,10,9,11,10,-5\n" * rows)
    error = refusal(load, path)
    assert len(error.breaches) <= 1000
    assert error.breaches[0].row == 2
    totals = {b.rule: b.detail for b in error.breaches if b.row is None}
    assert totals == {
        "high ≥ all ≥ low": f"{rows} rows in all",
        "volume out of range": f"{rows} rows in all",
        "duplicate key": f"{rows - 1} rows in all",
    }
    assert len(str(error).splitlines()) <= 21


def test_the_same_bar_in_two_files_is_refused_with_both_places(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    bars = bars_of("AAA.TO", sessions=40)
    bars.to_csv(tmp_path / "one.csv", index=False)
    bars[35:].to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(InputError) as caught:
        load("folder", tmp_path)
    assert [(b.file, b.row) for b in caught.value.breaches] == [("two.csv", r) for r in range(2, 7)]
    assert caught.value.breaches[0].detail.endswith("stands in one.csv, row 37 already")


def test_a_whole_file_that_stands_twice_is_counted(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    bars = bars_of(*(f"N{i:02d}.TO" for i in range(20)))  # 1,200 bars
    for name in ("one.csv", "two.csv"):
        bars.to_csv(tmp_path / name, index=False)
    with pytest.raises(InputError) as caught:
        load("folder", tmp_path)
    assert len(caught.value.breaches) == 1000
    assert caught.value.breaches[-1].detail == "1200 rows in all"
    assert {b.file for b in caught.value.breaches} == {"two.csv"}


@pytest.mark.parametrize("case", ["split 2:1", "bad tick"])
def test_one_jump_among_many_names_refuses_the_file(
    case: str, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    """One of 25 names is under 5 % of them: in a feed it would only be left out."""
    spoil, rule = BROKEN[case]
    path = as_csv(spoil(bars_of(*(f"N{i:02d}.TO" for i in range(25)))), tmp_path)
    (breach,) = refusal(load, path).breaches
    assert (breach.file, breach.row, breach.rule) == (path.name, ROW + 2, rule)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_jump_keeps_its_row_where_the_file_isn_t_sorted(
    format_: str, load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    write, first = FORMATS[format_]
    bars = scaled(0.5, until=None)(bars_of())
    mixed = bars.sample(frac=1.0, random_state=3)
    at = mixed.index.get_loc(ROW)
    (breach,) = refusal(load, write(mixed.reset_index(drop=True), tmp_path)).breaches
    assert (breach.row, breach.rule) == (at + first, "split")


def test_csv_parquet_any_case_long_or_one_file_a_symbol_are_the_same_bars(
    load: Load, bars_of: Bars, tmp_path: Path
) -> None:
    bars = bars_of()
    spellings = {
        "plain": {},
        "upper": {c: c.upper() for c in bars.columns},
        "title": {c: c.title() for c in bars.columns},
        "other": {"symbol": "Ticker", "date": "TimeStamp", "close": " Close "},
    }
    found = {}
    for name, names in spellings.items():
        for format_, (write, _) in FORMATS.items():
            folder = tmp_path / f"{name}-{format_}"
            folder.mkdir()
            found[f"{name} {format_}"] = load("folder", write(bars.rename(columns=names), folder))
    apart = tmp_path / "apart"
    apart.mkdir()
    for symbol, part in bars.groupby("symbol"):
        part.drop(columns="symbol").to_csv(apart / f"{str(symbol).lower()}.csv", index=False)
    found["apart"] = load("folder", apart)
    typed = bars.assign(
        date=pd.to_datetime(bars["date"]).dt.date, volume=bars["volume"].astype(int)
    )
    (tmp_path / "typed").mkdir()
    found["typed"] = load("folder", as_parquet(typed, tmp_path / "typed"))
    assert {m.digest for m in found.values()} == {found["plain csv"].digest}
    market = found["plain csv"]
    assert tuple(market.bars.columns) == BAR_COLUMNS
    assert market.bars["close"].tolist() == bars["close"].tolist()
    assert (market.calendar, market.currency, market.notes) == ("XTSE", "CAD", ())


def test_times_with_a_zone_fall_into_the_exchange_s_date(bars_of: Bars) -> None:
    bars = bars_of("AAA.TO", sessions=2)
    bars["date"] = ["2023-01-04T02:30:00Z", "2023-01-04T16:00:00-05:00"]
    checked = check_bars(bars, file="f", calendar="XTSE")
    assert checked.bars["session"].dt.strftime("%Y-%m-%d").tolist() == ["2023-01-03", "2023-01-04"]
    bars["date"] = ["2023-01-03 16:00:00", "2023-01-04 16:00"]
    named = check_bars(bars, file="f", calendar="XTSE", zone="America/Toronto")
    assert digest(named.bars) == digest(checked.bars)
    with pytest.raises(UsageError):
        check_bars(bars, file="f", calendar="XTSE", zone="Toronto")


def test_vendors_rounding_is_no_breach_and_more_than_it_is(bars_of: Bars) -> None:
    bars = bars_of("AAA.TO", sessions=5)
    bars.loc[2, "high"] = bars.loc[2, ["open", "close"]].max() * (1 - 0.9e-6)
    check_bars(bars, file="f", calendar="XTSE")
    bars.loc[2, "high"] = bars.loc[2, ["open", "close"]].max() * (1 - 1.2e-6)
    with pytest.raises(InputError):
        check_bars(bars, file="f", calendar="XTSE")


def test_a_close_alone_needs_no_volume(bars_of: Bars) -> None:
    bars = bars_of().drop(columns="volume")
    checked = check_bars(bars, file="f", calendar="XTSE", basis=Basis.CLOSE)
    assert checked.bars["volume"].isna().all()


@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_rows_and_columns_changes_nothing(bars_of: Bars, seed: int) -> None:
    bars = bars_of(sessions=20)
    rng = np.random.default_rng(seed)
    mixed = bars.iloc[rng.permutation(len(bars))][list(rng.permutation(bars.columns))]
    found = check_bars(mixed, file="f", calendar="XTSE")
    assert digest(found.bars) == digest(check_bars(bars, file="f", calendar="XTSE").bars)
    assert mixed["close"].to_numpy()[found.lines - 1].tolist() == found.bars["close"].tolist()


@given(
    rows=st.sets(st.integers(0, 39), min_size=1, max_size=10),
    column=st.sampled_from(["open", "high", "low", "close", "volume"]),
    value=st.sampled_from([-1.0, np.nan, np.inf, -np.inf, -1e-300]),
)
def test_exactly_the_broken_rows_are_named(
    bars_of: Bars, rows: set[int], column: str, value: float
) -> None:
    bars = bars_of(sessions=20)
    bars.loc[sorted(rows), column] = value
    with pytest.raises(InputError) as caught:
        check_bars(bars, file="f", calendar="XTSE")
    assert [b.row for b in caught.value.breaches] == [r + 1 for r in sorted(rows)]
    assert all(column in b.detail for b in caught.value.breaches)
