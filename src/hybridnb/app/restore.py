"""`hybridnb restore`: put a backup in the place of a home, once all of it has been verified.

The new home is made whole beside the old one, its chains appended again and compared with the
archive's heads; then two renames exchange them. The old home is kept under another name.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert

from hybridnb.app.archive import Archive, open_archive
from hybridnb.app.backup import chain_file, file_digest, side_file
from hybridnb.app.home import LEDGER, Home, home, shipped
from hybridnb.app.operators import told, wall_time
from hybridnb.app.restore_checks import followed, holds_more, verified
from hybridnb.errors import CheckFailed, Missing, Refused
from hybridnb.ledger.chain import CHAINS
from hybridnb.ledger.heads import Head, Heads
from hybridnb.ledger.schema import ENTRIES, METADATA
from hybridnb.ledger.store import Ledger

KIND = "restored"  # of the row that records one
GROUP = 20_000  # rows appended at a time
SHOWN = 10  # differences that a refusal names
SPARE = 256 << 20  # bytes of disk that a restore leaves free
_REFUSED = "Keep the home, or give --replace: it is moved aside, never deleted."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a home is put in place: the staged one, and the name of the one before."""

    where: Home
    staged: Path
    aside: Path


def restore_backup(
    file: str, *, reason: str, replace: bool = False, sha256: str = ""
) -> dict[str, Any]:
    """Restore a backup into the home in force.

    Parameters
    ----------
    file : str
        An archive that `hybridnb backup` wrote.
    replace : bool
        Take the place of a home that holds what the backup doesn't.
    sha256 : str
        The archive's expected digest, compared first.

    Returns
    -------
    dict
        home, aside (the old home's new name), rows, files, heads, made_at,
        params_differ: files of the archived parameters that aren't those in force.

    Raises
    ------
    InputError
        When the archive is damaged, forged or no backup; nothing was changed.
    CheckFailed
        When a chain doesn't lead to its head; nothing was changed.
    Refused
        When the home holds more, is in use, or a later release made the archive.
    """
    reason, path = told(reason), Path(file).expanduser().resolve()
    where = home()
    with open_archive(path) as archive, _alone(where):
        digest = file_digest(path)
        if sha256 and digest != sha256.lower():
            raise CheckFailed(f"{path.name} has SHA-256 {digest}", remedy="Take another copy.")
        ends = verified(archive)
        more = holds_more(where, archive, ends)
        if more and not replace:
            raise _refused(where, more)
        row = {"kind": KIND, "archive": path.name, "sha256": digest, "reason": reason}
        row |= {"made_at": archive.contents.made_at}
        aside = _put_in_place(where, archive, row | {"held_more": len(more)})
        return {
            "home": str(where.root),
            "aside": aside,
            "rows": sum(head.seq for head in ends.values()),
            "files": len(archive.contents.files),
            "heads": {chain: head.hash for chain, head in ends.items()},
            "made_at": archive.contents.made_at,
            "sha256": digest,
            "params_differ": _other_params(where.root / "params"),
        }


def _put_in_place(where: Home, archive: Archive, row: Mapping[str, Any]) -> str:
    """Make the new home whole, then exchange the two; where the old one is now."""
    at = wall_time()
    place = _place(where, at)
    try:
        _fill(place, archive)
        _ledger_again(place, archive, {**row, "at": at})
        return _exchanged(place)
    finally:
        shutil.rmtree(place.staged, ignore_errors=True)


def restore_text(done: dict[str, Any]) -> str:
    """What was restored, in sentences."""
    lines = [
        f"{done['rows']:,} rows and {done['files']} files of {done['made_at'][:16]} are in"
        f" {done['home']}; every digest and both chains hold"
    ]
    lines.append(f"the home before is kept in {done['aside']}")
    for name in done["params_differ"]:
        lines.append(f"params/{name} differs from the one in force: compare {done['home']}/params")
    return "\n".join(lines)


@contextmanager
def _alone(where: Home) -> Iterator[None]:
    """No process that takes a lock of this home runs meanwhile; one that does is named."""
    names = {"session", *(path.stem for path in where.folder("locks").glob("*.lock"))}
    with ExitStack() as held:
        for name in sorted(names):
            held.enter_context(where.locked(name))
        yield


def _refused(where: Home, more: list[str]) -> Refused:
    shown = "\n".join(more[:SHOWN])
    rest = f"\n… and {len(more) - SHOWN} more" if len(more) > SHOWN else ""
    return Refused(f"{where.root} holds what the backup doesn't:\n{shown}{rest}", remedy=_REFUSED)


def _place(where: Home, at: str) -> Place:
    root = where.root
    staged = root.with_name(f".{root.name}.restoring")
    shutil.rmtree(staged, ignore_errors=True)  # of a restore that was killed
    stamp = re.sub(r"[^0-9T]", "", at)[:21]
    return Place(where, staged, root.with_name(f"{root.name}.before-{stamp}"))


def _fill(place: Place, archive: Archive) -> None:
    """Write the archive's files into the staged home."""
    need = sum(file.size for file in archive.contents.files) + SPARE
    try:
        free = shutil.disk_usage(place.staged.parent).free
        if free < need:
            raise Missing(f"{need:,} bytes are needed, {free:,} are free", remedy="Free the rest.")
        place.staged.mkdir(mode=0o700)
        ledger_rows = {chain_file(chain) for chain in CHAINS}
        for name in archive.contents.by_name:
            if name not in ledger_rows and not name.startswith("ledger/beside/"):
                archive.extract(name, place.staged / name)
    except OSError as error:
        raise Missing(
            f"the home can't be made beside {place.where.root}: {error.strerror}",
            remedy="Set HYBRIDNB_HOME to a folder whose parent folder you can write.",
        ) from None


def _ledger_again(place: Place, archive: Archive, row: dict[str, Any]) -> None:
    """Append the archived rows to the staged home's ledger, compare the heads, record it."""
    given = place.where.ledger_url
    own = given.startswith(f"sqlite:///{place.where.root}")
    staged = Home(place.staged)
    url = f"sqlite:///{staged.folder('ledger') / 'ledger.db'}" if own else given
    if not own:
        _heads_of(archive, url, staged, place.where)
    ledger = Ledger(url, heads=staged.heads)
    try:
        for chain in CHAINS:
            start = ledger.count(chain)
            for group in _groups(islice(archive.lines(chain_file(chain)), start, None)):
                ledger.append(chain, group)
        found = ledger.verify()
        kept = {chain: end.hash for chain, end in archive.contents.heads.items()}
        if not found.ok or dict(found.heads) != kept:
            raise CheckFailed(
                f"the restored ledger doesn't verify: {found.first_broken or found.heads}",
                remedy="Nothing was changed. Take an earlier backup.",
            )
        _beside(ledger, archive)
        ledger.append("operations", [row])
    finally:
        ledger.close()


def _heads_of(archive: Archive, url: str, staged: Home, where: Home) -> None:
    """Before rows go into a database of its own: heads of those that are there already.

    Raises
    ------
    Refused
        When it holds rows that the archive doesn't: another database is needed.
    """
    ledger = Ledger(url, heads=where.heads)
    counts = {chain: ledger.count(chain) for chain in CHAINS}
    heads = {chain: Head(count, ledger.head(chain)) for chain, count in counts.items()}
    ledger.close()
    for chain, head in heads.items():
        if followed(archive, chain, upto=head.seq) != head:
            raise Refused(
                f"the database of {LEDGER} holds other rows: its {chain} chain has {head.seq:,}",
                remedy=f"Make an empty database and set {LEDGER} to it; this one is left alone.",
            )
    staged.folder("ledger")
    Heads(staged.heads).write(heads)


def _groups(lines: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    rest = iter(lines)
    while group := [json.loads(line) for line in islice(rest, GROUP)]:
        yield group


def _beside(ledger: Ledger, archive: Archive) -> None:
    """The tables beside the chains; one that this release doesn't know is left out."""
    with ledger.beside(write=True) as connection:
        for table in METADATA.sorted_tables:
            name = side_file(table.name)
            if table.name == ENTRIES.name or name not in archive.contents.by_name:
                continue
            known = set(table.columns.keys())
            rows = [json.loads(line) for line in archive.lines(name)]
            rows = [{k: v for k, v in row.items() if k in known} for row in rows]
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)


def _exchanged(place: Place) -> str:
    """Put the staged home in place. Killed between the renames, both are there: run it again."""
    root = place.where.root
    try:
        root.rename(place.aside)
        place.staged.rename(root)
    except OSError as error:
        raise Missing(
            f"{root} can't be renamed: {error.strerror}",
            remedy="Restore into another HYBRIDNB_HOME, below a folder that you can write.",
        ) from None
    return str(place.aside)


def _other_params(folder: Path) -> list[str]:
    """Names of restored parameter files that aren't what is in force."""
    now = shipped("params")
    names = {p.name for p in (*folder.glob("*.yml"), *now.glob("*.yml"))}
    return [n for n in sorted(names) if _content(folder / n) != _content(now / n)]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
