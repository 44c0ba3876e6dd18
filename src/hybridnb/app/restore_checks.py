"""What is known of a backup before anything of it is used, and what a home has besides."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from hybridnb.app.archive import Archive
from hybridnb.app.backup import KIND as BACKUP
from hybridnb.app.backup import chain_file, file_digest, kept_files
from hybridnb.app.home import Home
from hybridnb.errors import Breach, CheckFailed, HybridnbError, InputError
from hybridnb.ledger.chain import CHAINS, genesis, link
from hybridnb.ledger.heads import Head
from hybridnb.ledger.store import Ledger


def verified(archive: Archive) -> dict[str, Head]:
    """Read every file and follow both chains; the heads.

    Raises
    ------
    InputError, CheckFailed
        At the first byte that isn't what the manifest or the chain says.
    """
    contents = archive.contents
    if set(contents.heads) != set(CHAINS):
        raise _not_ours(archive, "heads", f"{sorted(contents.heads)} aren't the ledger's chains")
    for chain in CHAINS:
        if chain_file(chain) not in contents.by_name:
            raise _not_ours(archive, "members", f"{chain_file(chain)} isn't there")
    ends = {}
    for chain in CHAINS:
        ends[chain] = followed(archive, chain)
        kept = contents.heads[chain]
        if ends[chain] != Head(kept.seq, kept.hash):
            raise CheckFailed(
                f"the {chain} chain of {archive.path.name} doesn't lead to its head: row"
                f" {ends[chain].seq:,}, expected {kept.seq:,} with hash {kept.hash[:16]}",
                remedy="Nothing was used. Take an earlier backup.",
            )
    chains = {chain_file(chain) for chain in CHAINS}
    for name in contents.by_name:
        if name not in chains:
            for _ in archive.pieces(name):
                pass
    return ends


def followed(archive: Archive, chain: str, *, upto: int | None = None) -> Head:
    """The hash of an archived chain's last row, or of row `upto`."""
    seq, head = 0, genesis(chain)
    for payload in islice(archive.lines(chain_file(chain)), upto):
        seq, head = seq + 1, link(head, payload)
    return Head(seq, head)


def holds_more(where: Home, archive: Archive, ends: dict[str, Head]) -> list[str]:
    """What a home holds that the archive doesn't, in words; empty where nothing would be lost."""
    found = _rows_beyond(where, archive, ends)
    expected = archive.contents.by_name
    for name, path in kept_files(where):
        if name not in expected:
            found.append(f"{name}: not in the backup")
        elif path.stat().st_size != expected[name].size or (
            file_digest(path) != expected[name].sha256
        ):
            found.append(f"{name}: another content")
    # An empty home has a name, and nothing else.
    named = [each for each in found if not each.startswith("ledger/identity")]
    return found if named or _any_rows(where) else []


def _any_rows(where: Home) -> bool:
    """Whether the ledger in force has rows; a home without a ledger isn't given one."""
    url = where.ledger_url
    database = re.sub("^sqlite:///", "", url)
    if database != url and not Path(database).is_file():
        return False
    ledger = Ledger(url, heads=where.heads)
    try:
        return any(ledger.count(chain) for chain in CHAINS)
    finally:
        ledger.close()


def _rows_beyond(where: Home, archive: Archive, ends: dict[str, Head]) -> list[str]:
    try:
        if not _any_rows(where):
            return []
        ledger = Ledger(where.ledger_url, heads=where.heads)
        try:
            found = [_beyond(ledger, archive, chain, ends[chain]) for chain in CHAINS]
        finally:
            ledger.close()
    except HybridnbError as error:  # broken: the reason why there is a backup, and worth keeping
        return [f"ledger: {error}"]
    return list(filter(None, found))


def _beyond(ledger: Ledger, archive: Archive, chain: str, end: Head) -> str:
    """How a home's chain goes on or elsewhere than the archive's; empty where it doesn't.

    That backups were made is no loss.
    """
    last, more = Head(0, genesis(chain)), 0
    for entry in ledger.entries(chain):
        if entry.seq <= end.seq:
            last = Head(entry.seq, entry.hash)
        else:
            more += entry.kind != BACKUP
    if followed(archive, chain, upto=last.seq) != last:
        return f"{chain} chain: its {last.seq:,} rows aren't the backup's"
    return f"{chain} chain: {more:,} rows after the backup's {end.seq:,}" if more else ""


def _not_ours(archive: Archive, rule: str, detail: str) -> InputError:
    return InputError([Breach(archive.path.name, None, rule, detail)])
