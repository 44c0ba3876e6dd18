"""Two forms of a session's rows, held against each other field by field.

Rows are matched by what they are about, never by their number, so that one row too many doesn't
make all that follow differ. Everything is compared to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridnb.app.records import decision_rows

Row = Mapping[str, Any]
Key = tuple[str, str]  # kind, what the row is about
ABSENT = "absent"
_HEAD = ("kind", "book", "session", "n")
_NAMED = {"decision": "decision_id", "fill": "fill_id", "mark": "at", "operator": "id"}
_COUNTED = {"order": "client_id", "trade": "symbol", "escalation": "trigger", "triggers": "at"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs; `field` is dotted, and `row` where a whole row is missing."""

    kind: str
    key: str
    field: str
    recorded: Any
    again: Any

    def __str__(self) -> str:
        where = " ".join(part for part in (self.kind, self.key) if part)
        return f"{where}: {self.field}: recorded {self.recorded!r}, again {self.again!r}"


def keyed(rows: Iterable[Row]) -> dict[Key, Row]:
    """Rows by kind and what they are about; decisions one by one, however they were recorded."""
    seen: Counter[Key] = Counter()
    found: dict[Key, Row] = {}
    for row in _single(rows):
        kind = str(row["kind"])
        name = str(row[_NAMED.get(kind) or _COUNTED.get(kind) or "kind"])
        base = "" if name == kind else name
        seen[kind, base] += 1
        nth = seen[kind, base]
        plain = kind in _NAMED and nth == 1
        found[kind, base if plain else f"{base} #{nth}".strip()] = row
    return found


def _single(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield from decision_rows([row]) if row["kind"] == "universe" else (row,)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a value by dotted name; an empty mapping or list is a leaf."""
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    items = list(parts)
    if not items:
        yield name, value
    for key, part in items:
        yield from flat(part, f"{name}.{key}" if name else str(key))


def body(row: Row) -> dict[str, Any]:
    """A row's own fields, flat."""
    return dict(flat({k: v for k, v in row.items() if k not in _HEAD}))


def differences(
    recorded: Sequence[Row],
    again: Sequence[Row],
    *,
    left_out: Callable[[str, str], bool] = lambda kind, field: False,
) -> list[Difference]:
    """Every field that differs, in the order of the recorded rows; then rows it doesn't have.

    Parameters
    ----------
    left_out : callable
        Of kind and dotted field: True for what isn't compared.
    """
    then, now = keyed(recorded), keyed(again)
    found: list[Difference] = []
    for (kind, name), row in then.items():
        other = now.get((kind, name))
        if other is None:
            found.append(Difference(kind, name, "row", "present", ABSENT))
            continue
        found += _fields(kind, name, row, other, left_out)
    new = [key for key in now if key not in then]
    found += [Difference(kind, name, "row", ABSENT, "present") for kind, name in new]
    return found


def _fields(
    kind: str, name: str, row: Row, other: Row, left_out: Callable[[str, str], bool]
) -> Iterator[Difference]:
    mine, theirs = body(row), body(other)
    for field in dict.fromkeys([*mine, *theirs]):
        one, two = mine.get(field, ABSENT), theirs.get(field, ABSENT)
        if not same(one, two) and not left_out(kind, field):
            yield Difference(kind, name, field, one, two)


def same(one: Any, two: Any) -> bool:
    """Equal to the last bit; a whole float is the integer that its canonical text reads as."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    return bool(one == two)
