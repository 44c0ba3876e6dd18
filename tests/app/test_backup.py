"""Backups: what they hold comes back byte for byte, and nothing else is ever believed."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chronicle import Chronicle
from click.testing import CliRunner
from sqlalchemy import create_engine, make_url, text

from hybridnb.app.archive import MANIFEST, open_archive, plain_path
from hybridnb.app.backup import kept_files, make_backup
from hybridnb.app.cli import cli
from hybridnb.app.home import LEDGER, Home, home
from hybridnb.app.ledgers import open_ledger, verify_ledger
from hybridnb.app.restore import restore_backup
from hybridnb.errors import CheckFailed, HybridnbError, InputError, LedgerBroken, Missing, Refused
from hybridnb.ledger.beats import Beat
from hybridnb.ledger.store import Ledger

_spec = importlib.util.spec_from_file_location(
    "ledger_fixtures_of_backups", Path(__file__).parents[1] / "ledger" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
postgres = _shared.postgres  # the fixture of the tests of the ledger: a server of our own

MODEL = bytes(range(256)) * 5000


@pytest.fixture
def lived(_home: Path) -> Home:
    """A home with sessions, a model, a run record, a paper account, and things not to keep."""
    where = home()
    book = Chronicle()
    for pnl in (0.004, -0.002, 0.001):
        book.trade(pnl)
    open_ledger().beat(Beat(run="r", cell=1, cells=2, at="2040-01-01T00:00:00+00:00", seconds=1.5))
    assert where.identity
    for name, content in {
        "models/abc/manifest.json": b"{}",
        "models/abc/short": MODEL,
        "models/.half-made/short": b"unfinished",
        "runs/run_1.json": b'{"id": 1}',
        "paper/book.json": '{"name": "Zürich"}'.encode(),
        "cache/kernels/machine.nbi": b"\x00",
        "checkpoints/epoch": b"\x01",
    }.items():
        path = where.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return where


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Home:
    monkeypatch.setenv("HYBRIDNB_HOME", str(folder))
    return home()


def content(where: Home) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in kept_files(where)}


def payloads(chain: str) -> list[str]:
    return [entry.payload for entry in open_ledger().entries(chain)]


def changed(source: Path, to: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with other members."""
    with zipfile.ZipFile(source) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return to


def asides(where: Home) -> list[Path]:
    """Other homes that a restore left beside a home."""
    name = where.root.name
    return [*where.root.parent.glob(f"{name}.before*"), *where.root.parent.glob(f".{name}.*")]


def refused(path: Path, before: dict[str, bytes], kind: type[HybridnbError] = InputError) -> str:
    """The words with which a restore is refused, after which the home is as it was."""
    where = home()
    with pytest.raises(kind) as caught:
        restore_backup(str(path), reason="test", replace=True)
    assert content(where) == before
    assert asides(where) == []
    return str(caught.value)


def test_what_was_packed_comes_back_in_another_home(
    lived: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = {chain: payloads(chain) for chain in ("session", "operations")}
    files, beats = content(lived), open_ledger().beats()
    done = make_backup(str(tmp_path / "b.zip"))
    there = elsewhere(monkeypatch, tmp_path / "there")
    restored = restore_backup(done["file"], reason="moved", sha256=done["sha256"])
    assert content(there) == files
    assert not [
        p for p in there.root.rglob("*") if p.name in ("machine.nbi", "epoch", ".half-made")
    ]
    assert payloads("session") == chains["session"]
    *kept, row = payloads("operations")
    assert kept == chains["operations"]
    assert json.loads(row)["kind"] == "restored" and json.loads(row)["reason"] == "moved"
    assert open_ledger().beats() == beats
    assert verify_ledger()["head"] == done["heads"]["session"] == restored["heads"]["session"]
    assert stat.S_IMODE(there.root.stat().st_mode) == 0o700
    assert restored["params_differ"] == []
    # The next session goes on where the last one ended.
    ledger = open_ledger()
    ledger.append("session", [{"kind": "test"}])
    assert ledger.verify().ok


def test_equal_homes_give_equal_archives_but_for_the_time(lived: Home, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_backup(str(tmp_path / f"{name}.zip"))
        open_ledger()
    with zipfile.ZipFile(tmp_path / "a.zip") as a, zipfile.ZipFile(tmp_path / "b.zip") as b:
        assert a.namelist() == b.namelist()
        differ = [n for n in a.namelist() if a.read(n) != b.read(n)]
    assert differ == ["ledger/operations.jsonl", MANIFEST]  # the first backup's own row


def test_a_backup_is_private_and_never_takes_the_place_of_a_file(
    lived: Home, tmp_path: Path
) -> None:
    path = tmp_path / "b.zip"
    make_backup(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(Refused, match="there already"):
        make_backup(str(path))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zip"]
    with pytest.raises(Missing, match="can't be written"):
        make_backup("/proc/nowhere/b.zip")


def test_a_ledger_that_doesnt_verify_is_not_packed(lived: Home, tmp_path: Path) -> None:
    with create_engine(lived.ledger_url).begin() as connection:
        connection.execute(text("UPDATE entries SET payload = '{}' WHERE seq = 2"))
    with pytest.raises(LedgerBroken):
        make_backup(str(tmp_path / "b.zip"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("edge", [0, (1 << 20) - 5])
def test_a_secret_is_never_packed(
    lived: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edge: int
) -> None:
    secret = "sk-0123456789-never"
    monkeypatch.setenv("SOME_API_KEY", secret)
    (lived.root / "runs" / "note.json").write_bytes(b"x" * edge + secret.encode())
    with pytest.raises(CheckFailed, match="SOME_API_KEY") as caught:
        make_backup(str(tmp_path / "b.zip"))
    assert secret not in str(caught.value) + caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_a_home_that_holds_more_is_kept_unless_it_may_be_moved_aside(
    lived: Home, tmp_path: Path
) -> None:
    path = make_backup(str(tmp_path / "b.zip"))["file"]
    ledger = open_ledger()
    ledger.append("session", [{"kind": "later"}])
    (lived.root / "models" / "new").mkdir()
    (lived.root / "models" / "new" / "short").write_bytes(b"new")
    (lived.root / "paper" / "book.json").write_bytes(b"{}")
    before, rows = content(lived), payloads("session")
    with pytest.raises(Refused) as caught:
        restore_backup(path, reason="test")
    words = str(caught.value)
    assert "session chain: 1 rows after" in words and "operations" not in words
    assert "models/new/short: not in" in words and "paper/book.json: another" in words
    assert content(lived) == before and payloads("session") == rows

    done = restore_backup(path, reason="test", replace=True)
    aside = Home(Path(done["aside"]))
    assert content(aside) == before, "moved aside whole"
    assert payloads("session") == rows[:-1]
    kept = Ledger(f"sqlite:///{aside.root / 'ledger' / 'ledger.db'}", heads=aside.heads)
    assert [e.payload for e in kept.entries("session")] == rows and kept.verify().ok


def test_a_home_that_only_went_less_far_is_brought_up(lived: Home, tmp_path: Path) -> None:
    first = make_backup(str(tmp_path / "1.zip"))["file"]
    open_ledger().append("session", [{"kind": "later"}])
    second = make_backup(str(tmp_path / "2.zip"))["file"]
    restore_backup(first, reason="back", replace=True)
    rows = len(payloads("session"))
    with pytest.raises(Refused, match="operations chain"):  # it has the restoring's own row
        restore_backup(second, reason="forth")
    restore_backup(second, reason="forth", replace=True)
    assert len(payloads("session")) == rows + 1


def test_a_home_of_another_history_is_never_taken_for_an_earlier_one(
    lived: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_backup(str(tmp_path / "b.zip"))["file"]
    elsewhere(monkeypatch, tmp_path / "there")
    open_ledger().append("session", [{"kind": "other"}])
    with pytest.raises(Refused, match="1 rows aren't the backup's"):
        restore_backup(path, reason="test")


def test_a_home_in_use_is_left_alone(lived: Home, tmp_path: Path) -> None:
    path = make_backup(str(tmp_path / "b.zip"))["file"]
    for what in ("session", "training-abc"):
        with lived.locked(what), pytest.raises(Refused, match=what):
            restore_backup(path, reason="test", replace=True)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.97, 0.9999])
def test_a_truncated_archive_changes_nothing(lived: Home, tmp_path: Path, share: float) -> None:
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])
    before = content(lived)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, before)


def test_a_changed_byte_anywhere_changes_nothing(lived: Home, tmp_path: Path) -> None:
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])
    before, whole = content(lived), path.read_bytes()
    other = tmp_path / "other.zip"
    told = 0
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        other.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            with open_archive(other) as archive:
                files = {n: b"".join(archive.pieces(n)) for n in archive.contents.by_name}
        except HybridnbError:
            told += 1
            continue
        # A byte that no reader looks at, of a header that is there twice: every file is whole.
        with open_archive(path) as archive:
            assert files == {n: b"".join(archive.pieces(n)) for n in archive.contents.by_name}
    assert told > 100
    assert content(lived) == before


def test_a_forged_chain_is_found_though_every_digest_fits(lived: Home, tmp_path: Path) -> None:
    import hashlib

    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])
    before = content(lived)

    def forge(members: dict[str, bytes]) -> None:
        name = "ledger/session.jsonl"
        members[name] = members[name].replace(b'"killed":false', b'"killed":true ', 1)
        manifest = json.loads(members[MANIFEST])
        (entry,) = [f for f in manifest["files"] if f["name"] == name]
        entry["sha256"] = hashlib.sha256(members[name]).hexdigest()
        members[MANIFEST] = json.dumps(manifest).encode()

    words = refused(changed(path, tmp_path / "f.zip", forge), before, CheckFailed)
    assert "doesn't lead to its head" in words


def entry(members: dict[str, bytes], name: str, data: bytes) -> None:
    """A member that the manifest knows, with its true digest."""
    import hashlib

    members[name] = data
    manifest = json.loads(members[MANIFEST])
    digest = hashlib.sha256(data).hexdigest()
    manifest["files"].append({"name": name, "size": len(data), "sha256": digest})
    members[MANIFEST] = json.dumps(manifest).encode()


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "models/../../out",
        "/etc/out",
        "models//x",
        "a\\..\\out",
        "./x",
        "models/.x",
        "a\nb",
    ],
)
def test_a_member_that_leads_elsewhere_is_refused(lived: Home, tmp_path: Path, name: str) -> None:
    assert not plain_path(name)
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])
    other = changed(path, tmp_path / "o.zip", lambda members: entry(members, name, b"x"))
    refused(other, content(lived))
    assert not (lived.root.parent / "out").exists() and not Path("/etc/out").exists()


def test_links_and_strangers_are_refused(lived: Home, tmp_path: Path) -> None:
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])
    before = content(lived)

    def linked(members: dict[str, bytes]) -> None:
        entry(members, "models/link", b"/etc/passwd")

    other = changed(path, tmp_path / "l.zip", linked)
    with zipfile.ZipFile(other) as opened:
        kept = {info.filename: opened.read(info) for info in opened.infolist()}
    with zipfile.ZipFile(other, "w") as out:
        for name, data in kept.items():
            info = zipfile.ZipInfo(name)
            kind = stat.S_IFLNK if name == "models/link" else stat.S_IFREG
            info.external_attr = (kind | 0o777) << 16
            out.writestr(info, data)
    assert "no plain file" in refused(other, before)

    def stranger(members: dict[str, bytes]) -> None:
        members["models/abc/extra"] = b"x"

    assert "not in both" in refused(changed(path, tmp_path / "s.zip", stranger), before)
    assert "not in both" in refused(
        changed(path, tmp_path / "m.zip", lambda members: members.pop("runs/run_1.json") and None),
        before,
    )
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as out:
        out.writestr("hello", b"x")
    assert "no manifest.json" in refused(tmp_path / "n.zip", before)
    (tmp_path / "t.zip").write_text("no zip at all")
    refused(tmp_path / "t.zip", before)


def test_a_bomb_is_refused_before_it_is_opened(lived: Home, tmp_path: Path) -> None:
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])

    def bomb(members: dict[str, bytes]) -> None:
        entry(members, "models/zeros", bytes(80 << 20))

    assert "would become" in refused(changed(path, tmp_path / "z.zip", bomb), content(lived))


def test_what_says_it_is_small_and_isnt_is_stopped(lived: Home, tmp_path: Path) -> None:
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])

    def lie(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        for file in manifest["files"]:
            file["size"] = 1
        members[MANIFEST] = json.dumps(manifest).encode()

    assert "as large as" in refused(changed(path, tmp_path / "z.zip", lie), content(lived))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"format": 2}, Refused, "format 2"),
        ({"format": "1x"}, InputError, "format"),
        ({"product": "other"}, InputError, "product"),
        ({"heads": {}}, InputError, "heads"),
        ({"surprise": 1}, InputError, "surprise"),
        ({"files": None}, InputError, "files"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    lived: Home, tmp_path: Path, change: dict[str, Any], kind: type[HybridnbError], words: str
) -> None:
    path = Path(make_backup(str(tmp_path / "b.zip"))["file"])

    def other(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | change).encode()

    assert words in refused(changed(path, tmp_path / "o.zip", other), content(lived), kind)


_KILLED = """
import os, pathlib, sys
from hybridnb.app.restore import restore_backup
left, plain = int(sys.argv[2]), pathlib.Path.rename
def rename(self, target):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    return plain(self, target)
pathlib.Path.rename = rename
restore_backup(sys.argv[1], reason="killed", replace=True)
"""


@pytest.mark.parametrize("at", [1, 2])
def test_killed_between_its_renames_nothing_is_lost(lived: Home, tmp_path: Path, at: int) -> None:
    path = make_backup(str(tmp_path / "b.zip"))["file"]
    open_ledger().append("session", [{"kind": "later"}])
    before, rows = content(lived), payloads("session")
    call = [sys.executable, "-c", _KILLED, path, str(at)]
    assert subprocess.run(call, env={**os.environ}, check=False).returncode == 9
    moved = [path for path in asides(lived) if "before" in path.name]
    old = moved[0] if moved else lived.root
    assert content(Home(old)) == before, "the old home is whole, under one name or the other"
    done = restore_backup(path, reason="again", replace=True)
    assert payloads("session") == rows[:-1] and verify_ledger()["ok"]
    assert not list(lived.root.parent.glob(f".{lived.root.name}.*"))
    olds = [Home(path) for path in asides(lived)]
    assert Path(done["aside"]).is_dir() and before in [content(each) for each in olds]


def test_the_commands_have_their_exit_codes(
    lived: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(*args: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(cli, [*args, "--json"])
        return done.exit_code, json.loads(done.stdout)

    path = str(tmp_path / "b.zip")
    assert ran("backup", "--out", path)[0] == 0
    assert ran("backup", "--out", path)[0] == 3
    open_ledger().append("session", [{"kind": "later"}])
    assert ran("restore", path, "--reason", "x")[0] == 3
    assert ran("restore", path, "--reason", " ")[0] == 2
    assert ran("restore", path, "--reason", "x", "--sha256", "0" * 64)[0] == 1
    assert ran("restore", str(tmp_path / "none.zip"), "--reason", "x")[0] == 4
    (tmp_path / "bad.zip").write_bytes(b"PK")
    code, told = ran("restore", str(tmp_path / "bad.zip"), "--reason", "x")
    assert code == 2 and told["breaches"] and "Nothing was used" in told["remedy"]
    code, told = ran("restore", path, "--reason", "x", "--replace")
    assert code == 0 and Path(told["aside"]).is_dir()


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    server, name = make_url(postgres), f"backups_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    engine.dispose()


def test_a_ledger_moves_to_postgresql_and_back(
    lived: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    rows = payloads("session")
    path = make_backup(str(tmp_path / "b.zip"))["file"]
    monkeypatch.setenv(LEDGER, database)
    restore_backup(path, reason="to PostgreSQL")
    assert payloads("session") == rows and verify_ledger()["ok"]
    ledger = open_ledger()
    ledger.append("session", [{"kind": "there"}])
    ledger.close()
    with pytest.raises(Refused, match=r"other rows|rows after"):
        restore_backup(path, reason="again")
    with pytest.raises(Refused, match="other rows"):
        restore_backup(path, reason="again", replace=True)
    assert len(payloads("session")) == len(rows) + 1, "a database of its own is left alone"

    back = make_backup(str(tmp_path / "c.zip"))["file"]
    monkeypatch.delenv(LEDGER)
    elsewhere(monkeypatch, tmp_path / "there")
    restore_backup(back, reason="back")
    assert payloads("session")[:-1] == rows and verify_ledger()["ok"]
