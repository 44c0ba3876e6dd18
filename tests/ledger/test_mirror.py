"""A mirror answers as its ledger does, whatever was written, by whom and when."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hybridnb.ledger.mirror import HEAVY, Mirror
from hybridnb.ledger.store import Ledger

KINDS = ("alert", "operator", "decision", "fill")
GROUPS = st.lists(
    st.tuples(
        st.sampled_from(["session", "operations"]),
        st.lists(
            st.fixed_dictionaries(
                {
                    "kind": st.sampled_from(KINDS),
                    "book": st.sampled_from(["a", "b"]),
                    "session": st.sampled_from(["s", "t"]),
                    "id": st.integers(0, 3).map(str),
                }
            ),
            max_size=4,
        ),
        st.booleans(),
    ),
    max_size=8,
)
ASKED = ({}, {"book": "a"}, {"session": "t", "book": "b"}, {"id": "1"}, {"nothing": "x"})


def opened(folder: Path, what: type[Ledger]) -> Ledger:
    return what(f"sqlite:///{folder / 'ledger.db'}", heads=folder / "heads.json")


def same(mirror: Mirror, ledger: Ledger) -> None:
    for chain in ("session", "operations"):
        for kind in (*KINDS, "none"):
            for match in ASKED:
                where = {"kind": kind, **match}
                assert list(mirror.rows(chain, **where)) == list(ledger.rows(chain, **where))
        assert list(mirror.rows(chain)) == list(ledger.rows(chain))


@given(groups=GROUPS)
def test_it_answers_as_the_ledger_does_while_that_grows(
    groups: list[tuple[str, list[dict[str, str]], bool]], tmp_path_factory: object
) -> None:
    folder = tmp_path_factory.mktemp("ledger")  # type: ignore[attr-defined]
    ledger, mirror = opened(folder, Ledger), opened(folder, Mirror)
    assert isinstance(mirror, Mirror)
    for chain, rows, ask in groups:
        ledger.append(chain, rows)
        if ask:
            same(mirror, ledger)
    same(mirror, ledger)
    ledger.close()
    mirror.close()


def test_what_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    ledger, mirror = opened(tmp_path, Ledger), opened(tmp_path, Mirror)
    ledger.append("session", [{"kind": "alert", "n": n} for n in range(3)])
    first = mirror.rows("session", kind="alert")
    ledger.append("session", [{"kind": "alert", "n": 3}])
    again = mirror.rows("session", kind="alert")
    assert [row["n"] for row in again] == [0, 1, 2, 3]
    assert all(a is b for a, b in zip(first, again, strict=False)), "the very same rows"
    assert "decision" in HEAVY and "alert" not in HEAVY


def test_another_database_in_its_place_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    here, there = opened(tmp_path / "a", Ledger), opened(tmp_path / "b", Ledger)
    here.append("session", [{"kind": "alert", "n": n} for n in range(3)])
    there.append("session", [{"kind": "alert", "n": n} for n in (7, 8, 9, 10)])
    mirror = opened(tmp_path / "a", Mirror)
    assert [row["n"] for row in mirror.rows("session", kind="alert")] == [0, 1, 2]
    for ledger in (here, there, mirror):
        ledger.close()
    for name in ("ledger.db", "heads.json"):
        (tmp_path / "b" / name).replace(tmp_path / "a" / name)
    for suffix in ("-wal", "-shm"):
        (tmp_path / "a" / f"ledger.db{suffix}").unlink(missing_ok=True)
    assert [row["n"] for row in mirror.rows("session", kind="alert")] == [7, 8, 9, 10]
