"""What the ledger keeps, refuses and finds, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text

from hybridnb.errors import LedgerBroken, Missing, Refused, UsageError
from hybridnb.ledger.beats import Beat
from hybridnb.ledger.chain import entries, genesis
from hybridnb.ledger.heads import Head, Heads
from hybridnb.ledger.store import Ledger

SAME = {"book": "sample-1", "session": "2024-01-02"}
# The fixtures give a database's server; each example makes a database of its own.
own = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def session_rows(number: int, **changed: Any) -> list[dict[str, Any]]:
    kinds = ["inputs", "policy", "session_opened", "decision", "order", "fill", "session_closed"]
    head = [{"kind": "inputs", **SAME, "n": 0, "seed": 7, "feed": "sample"} | changed]
    tail = [
        {"kind": kinds[n % len(kinds)], **SAME, "n": n, "symbol": f"S{n % 3}", "score": n / 7}
        for n in range(1, number)
    ]
    return head + tail


def raw(url: str, statement: str, **values: Any) -> None:
    """Change the database behind the ledger's back."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


def test_an_empty_ledger_reads_as_empty(ledger: Ledger) -> None:
    for chain in ("session", "operations"):
        assert ledger.rows(chain) == [] and list(ledger.entries(chain)) == []
        assert (ledger.count(chain), ledger.head(chain)) == (0, genesis(chain))
    found = ledger.verify()
    assert (found.ok, found.rows, found.first_broken) == (True, 0, None)
    assert found.heads == {"session": genesis("session"), "operations": genesis("operations")}


def test_append_gives_the_head_made_by_hand_and_keeps_it_outside(
    ledger: Ledger, heads: Path
) -> None:
    rows = session_rows(9)
    *_, last = entries("session", rows, seq=0, head=genesis("session"))
    assert ledger.append("session", rows[:4]) != ledger.append("session", rows[4:]) == last.hash
    assert ledger.rows("session") == rows
    assert json.loads(heads.read_text())["session"] == {"seq": 9, "hash": last.hash}
    assert json.loads(heads.read_text())["operations"]["seq"] == 0
    found = ledger.verify()
    assert (found.ok, found.rows, found.heads["session"]) == (True, 9, last.hash)


def test_groups_make_no_difference_to_the_chain(new_url: Callable[[], str], tmp_path: Path) -> None:
    rows, found = session_rows(12), []
    for n, cuts in enumerate([(0, 12), (0, 1, 2, 12), (0, 5, 5, 11, 12)]):
        ledger = Ledger(new_url(), heads=tmp_path / f"{n}.json")
        for start, stop in pairwise(cuts):
            ledger.append("session", rows[start:stop])
        found.append(list(ledger.entries("session")))
        ledger.close()
    assert found[0] == found[1] == found[2]


def test_the_chains_are_apart(ledger: Ledger) -> None:
    ledger.append("session", session_rows(3))
    ledger.append("operations", [{"kind": "run", "id": "run_1"}])
    assert ledger.count("session") == 3 and ledger.count("operations") == 1
    assert ledger.rows("operations") == [{"kind": "run", "id": "run_1"}]
    assert ledger.verify().rows == 4
    with pytest.raises(ValueError, match="no chain 'diary'"):
        ledger.append("diary", [{"kind": "run"}])


def test_rows_match_columns_and_any_other_field(ledger: Ledger) -> None:
    rows = session_rows(20)
    ledger.append("session", rows)
    ledger.append("session", [{"kind": "order", "book": "other", "session": "2024-01-02"}])
    assert ledger.rows("session", kind="order", book="sample-1") == [
        r for r in rows if r["kind"] == "order"
    ]
    assert ledger.rows("session", symbol="S1") == [r for r in rows if r.get("symbol") == "S1"]
    assert ledger.rows("session", kind="order", symbol="none") == []


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, pytest.param(object(), id="object")], ids=repr
)
def test_a_row_that_cant_be_recorded_takes_its_group_with_it(ledger: Ledger, value: Any) -> None:
    ledger.append("session", session_rows(2))
    with pytest.raises(ValueError):  # noqa: PT011  # the chain's tests read the sentences
        ledger.append("session", [{"kind": "mark"}, {"kind": "mark", "equity": value}])
    assert ledger.count("session") == 2 and ledger.verify().ok


def test_ensure_writes_what_is_missing_and_only_once(ledger: Ledger) -> None:
    rows = session_rows(10)
    assert ledger.ensure("session", rows[:4], **SAME).written == 4
    other = [{"kind": "inputs", "book": "other", "session": "2024-01-02"}]
    ledger.append("session", other)  # another book's rows lie in between
    done = ledger.ensure("session", rows, **SAME)
    assert (done.written, done.head) == (6, ledger.head("session"))
    again = ledger.ensure("session", rows, **SAME)
    assert (again.written, again.head) == (0, done.head)
    assert ledger.ensure("session", rows[:3], **SAME).written == 0
    assert ledger.rows("session", **SAME) == rows and ledger.verify().rows == 11


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"seed": 8}, "seed"),
        ({"seed": 7.0}, "seed"),
        ({"seed": "7"}, "seed"),
        ({"extra": None}, "extra"),
        ({"kind": "policy"}, "kind"),
    ],
    ids=str,
)
def test_ensure_refuses_other_rows_and_names_the_key(
    ledger: Ledger, changed: dict[str, Any], key: str
) -> None:
    ledger.ensure("session", session_rows(5), **SAME)
    with pytest.raises(Refused, match=rf"another {key} \(inputs row 0\)"):
        ledger.ensure("session", session_rows(8, **changed), **SAME)
    assert ledger.count("session") == 5 and ledger.verify().ok


def test_ensure_takes_rows_of_its_session_only(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="every row must be of book"):
        ledger.ensure("session", session_rows(3), book="sample-1", session="2024-01-03")
    assert ledger.count("session") == 0


@own
@given(cuts=st.lists(st.integers(0, 15), max_size=4), total=st.integers(1, 15))
def test_ensure_from_any_prefixes_gives_the_undisturbed_head(
    ledger: Ledger, cuts: list[int], total: int
) -> None:
    session = f"day {ledger.count('session')}"  # each example follows the one before
    same = {"book": "sample-1", "session": session}
    rows = [row | same for row in session_rows(total)]
    *_, last = entries("session", rows, seq=0, head=ledger.head("session"))
    for cut in cuts:
        ledger.ensure("session", rows[:cut], **same)
    ledger.ensure("session", rows, **same)
    assert ledger.head("session") == last.hash
    assert ledger.rows("session", **same) == rows
    assert ledger.verify().ok


@own
@given(data=st.data())
def test_any_change_is_found_and_the_first_broken_row_named(
    ledger: Ledger, url: str, heads: Path, data: st.DataObject
) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:  # what the example before left
        connection.execute(text("DELETE FROM entries"))
    Heads(heads).write({"session": Head(0, genesis("session"))})
    number = data.draw(st.integers(1, 12), label="rows")
    ledger.append("session", session_rows(number))
    ledger.append("operations", [{"kind": "run", "id": "run_1"}])
    assert ledger.verify().ok
    first = data.draw(st.sampled_from([_edit, _delete, _swap, _truncate]))(engine, data, number)
    engine.dispose()
    found = ledger.verify()
    assert not found.ok and found.first_broken is not None
    assert (found.first_broken["chain"], found.first_broken["seq"]) == ("session", first)
    assert found.rows == first - 1


def _edit(engine: Engine, data: st.DataObject, number: int) -> int:
    seq = data.draw(st.integers(1, number), label="edited")
    column = data.draw(
        st.sampled_from(["kind", "book", "session", "payload", "prev_hash", "hash", "chain"])
    )
    with engine.begin() as connection:
        here = {"chain": "session", "seq": seq}
        where = "WHERE chain = :chain AND seq = :seq"
        old = connection.execute(text(f"SELECT {column} FROM entries {where}"), here).scalar_one()
        at = data.draw(st.integers(0, len(old)), label="at")
        new = old[:at] + data.draw(st.sampled_from("0a {}")) + old[at + 1 :]
        assume(new != old and len(new) <= len(old))
        values = here | {"new": new}
        connection.execute(text(f"UPDATE entries SET {column} = :new {where}"), values)
    return seq


def _delete(engine: Engine, data: st.DataObject, number: int) -> int:
    seq = data.draw(st.integers(1, number), label="deleted")
    with engine.begin() as connection:
        connection.execute(
            text("DELETE FROM entries WHERE chain = 'session' AND seq = :n"), {"n": seq}
        )
    return seq


def _truncate(engine: Engine, data: st.DataObject, number: int) -> int:
    seq = data.draw(st.integers(1, number), label="cut from")
    with engine.begin() as connection:
        connection.execute(
            text("DELETE FROM entries WHERE chain = 'session' AND seq >= :n"), {"n": seq}
        )
    return seq


def _swap(engine: Engine, data: st.DataObject, number: int) -> int:
    assume(number >= 2)
    one, two = sorted(
        data.draw(st.lists(st.integers(1, number), min_size=2, max_size=2, unique=True))
    )
    with engine.begin() as connection:
        for old, new in ((one, -1), (two, one), (-1, two)):
            move = text("UPDATE entries SET seq = :new WHERE chain = 'session' AND seq = :old")
            connection.execute(move, {"old": old, "new": new})
    return one


def test_a_chain_rewritten_from_a_row_on_differs_from_the_head_outside(
    ledger: Ledger, url: str
) -> None:
    rows = session_rows(6)
    ledger.append("session", rows)
    raw(url, "DELETE FROM entries WHERE seq > 3")
    *_, third = entries("session", rows[:3], seq=0, head=genesis("session"))
    for n, forged in enumerate([{"kind": "fill", "n": k} for k in range(3)]):
        (entry,) = entries("session", [forged], seq=3 + n, head=third.hash)
        columns = {c: getattr(entry, c) for c in type(entry).__slots__}
        names = ", ".join(columns)
        raw(url, f"INSERT INTO entries ({names}) VALUES (:{', :'.join(columns)})", **columns)
        third = entry
    found = ledger.verify()
    at = {"chain": "session", "seq": 6, "why": "its hash differs from the head kept outside"}
    assert not found.ok and found.first_broken == at
    with pytest.raises(LedgerBroken, match="differs from the head kept outside"):
        ledger.append("session", [{"kind": "mark"}])


def test_appending_to_a_cut_chain_is_refused_so_that_the_cut_stays_visible(
    ledger: Ledger, url: str
) -> None:
    rows = session_rows(6)
    ledger.append("session", rows)
    raw(url, "DELETE FROM entries WHERE seq > 4")
    with pytest.raises(LedgerBroken, match="its head was row 6"):
        ledger.append("session", [{"kind": "mark"}])
    with pytest.raises(LedgerBroken, match="its head was row 6"):
        ledger.ensure("session", rows, **SAME)
    assert ledger.verify().first_broken == {
        "chain": "session",
        "seq": 5,
        "why": "the chain was cut: its head was row 6",
    }


def test_a_database_ahead_of_its_head_is_accepted_and_goes_on(ledger: Ledger, heads: Path) -> None:
    ledger.append("session", session_rows(4))
    before = heads.read_bytes()
    ledger.append("session", [{"kind": "mark", "n": 4}])
    heads.write_bytes(before)  # as a kill between the commit and the write leaves it
    assert ledger.verify().ok
    head = ledger.append("session", [{"kind": "mark", "n": 5}])
    assert ledger.verify().ok and json.loads(heads.read_text())["session"]["hash"] == head


def test_a_heads_file_that_is_gone_or_rubbish_is_found(
    ledger: Ledger, url: str, heads: Path
) -> None:
    ledger.append("session", session_rows(2))
    heads.unlink()
    again = Ledger(url, heads=heads)
    assert "is gone" in (again.verify().first_broken or {})["why"]
    with pytest.raises(LedgerBroken, match="is gone"):
        again.append("operations", [{"kind": "run"}])
    for rubbish in ("", "[]", '{"session": 3}', "\0"):
        heads.write_text(rubbish)
        assert "unreadable" in (again.verify().first_broken or {})["why"]
    again.close()


def test_rows_of_a_chain_that_isnt_one_are_found(ledger: Ledger, url: str) -> None:
    ledger.append("session", session_rows(2))
    raw(url, "INSERT INTO entries VALUES ('diary', 1, '', '', '', '{}', '', '')")
    assert ledger.verify().first_broken == {
        "chain": "diary",
        "seq": 1,
        "why": "there is no such chain",
    }


def test_a_table_that_is_gone_is_found(ledger: Ledger, url: str) -> None:
    ledger.append("session", session_rows(2))
    raw(url, "DROP TABLE entries")
    assert ledger.verify().first_broken == {
        "chain": "session",
        "seq": 1,
        "why": "the table entries is gone",
    }
    with pytest.raises(LedgerBroken, match="can't be read"):
        ledger.rows("session")


def test_beats_lie_beside_the_chains(ledger: Ledger) -> None:
    head = ledger.append("operations", [{"kind": "run", "id": "run_1"}])
    said = [Beat("run_1", n, 3, f"2024-01-02T10:00:0{n}+00:00", n * 1.5) for n in range(3)]
    for beat in reversed(said):
        ledger.beat(beat)
    later = Beat("run_1", 2, 3, "2024-01-02T10:00:09+00:00", 9.0)
    ledger.beat(later)
    assert ledger.beats("run_1") == [*said[:2], later] and ledger.beats("run_2") == []
    assert ledger.head("operations") == head and ledger.verify().ok


def test_bytes_that_are_no_text_are_found_where_they_are(tmp_path: Path, heads: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url, heads=heads)
    ledger.append("session", session_rows(5))
    raw(url, "UPDATE entries SET payload = CAST(x'7bff7d' AS TEXT) WHERE seq = 3")
    why = "its hash differs from its content"
    assert ledger.verify().first_broken == {"chain": "session", "seq": 3, "why": why}


def test_a_file_that_is_no_database_is_broken_and_kept(tmp_path: Path, heads: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"rubbish " * 1000)
    with pytest.raises(LedgerBroken, match="not a database"):
        Ledger(f"sqlite:///{path}", heads=heads)
    assert path.read_bytes() == b"rubbish " * 1000


def test_a_damaged_page_is_found(tmp_path: Path, heads: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}", heads=heads)
    ledger.append("session", session_rows(400))
    ledger.close()
    content = bytearray(path.read_bytes())
    middle = content.find(b'"n":200') & ~4095  # the page that holds this row
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    ledger = Ledger(f"sqlite:///{path}", heads=heads)
    found = ledger.verify()
    assert not found.ok and found.first_broken is not None
    assert found.first_broken["chain"] == "session" and found.first_broken["seq"] <= 201


def test_a_deleted_database_is_a_cut(tmp_path: Path, heads: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}", heads=heads)
    ledger.append("session", session_rows(4))
    ledger.close()
    path.unlink()
    ledger = Ledger(f"sqlite:///{path}", heads=heads)
    assert (ledger.verify().first_broken or {})["why"] == "the chain was cut: its head was row 4"


def test_what_cant_be_reached_is_missing_with_a_remedy(tmp_path: Path, heads: Path) -> None:
    (tmp_path / "file").write_text("")
    for url, where in [
        (f"sqlite:///{tmp_path / 'none' / 'ledger.db'}", heads),
        (f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "file" / "heads.json"),
        (f"postgresql+psycopg://nobody@/none?host={tmp_path}", heads),
    ]:
        with pytest.raises(Missing) as caught:
            Ledger(url, heads=where)
        assert caught.value.remedy and caught.value.exit_code == 4
    with pytest.raises(UsageError):
        Ledger("no url", heads=heads)


def test_sqlite_is_durable_at_each_commit(tmp_path: Path, heads: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", heads=heads)
    with ledger._connected() as connection:
        asked = [
            connection.exec_driver_sql(f"PRAGMA {n}").scalar()
            for n in ("journal_mode", "synchronous")
        ]
    assert asked == ["wal", 2]
