"""Where a server may listen, what it is told, and that nothing of it is left when it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from served import TOKEN, Served, start

from hybridnb.app.backup import make_backup
from hybridnb.app.cli import cli
from hybridnb.app.home import Home
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.restore import restore_backup
from hybridnb.app.server.serving import (
    LONGEST_SOCKET,
    binding,
    configuration,
    jupyter_folders,
    notebooks_folder,
    scheduled,
)
from hybridnb.errors import Missing, Refused, UsageError


def bound(ip: str = "127.0.0.1", port: int = 0, cert: str = "", key: str = "") -> object:
    return binding(ip=ip, port=port, certfile=cert, keyfile=key)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Files where a certificate and its key would be."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text("c")
    key.write_text("k")
    return str(cert), str(key)


@pytest.mark.parametrize("ip", ["0.0.0.0", "", "::", "10.0.0.1", "example.org"])
def test_what_others_can_reach_needs_a_token_and_tls(
    ip: str, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    for cert, key in [("", ""), pair]:
        with pytest.raises(UsageError, match="token and TLS"):
            bound(ip, cert=cert, key=key)
    monkeypatch.setenv("JUPYTER_TOKEN", "t")
    for cert, key in [("", ""), (pair[0], ""), ("", pair[1])]:
        with pytest.raises(UsageError, match="token and TLS"):
            bound(ip, cert=cert, key=key)


def test_others_are_served_with_both(
    pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "t")
    found = binding(ip="0.0.0.0", port=0, certfile=pair[0], keyfile=pair[1])
    assert found.url.startswith("https://") and found.given
    with pytest.raises(Missing, match="no file"):
        binding(ip="0.0.0.0", port=0, certfile=pair[0], keyfile="nowhere.pem")


def test_a_token_is_made_and_told_unless_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "")
    first, second = (binding(ip="127.0.0.1", port=0, certfile="", keyfile="") for _ in range(2))
    assert len(first.token) == 48 and first.token != second.token
    assert first.told()["token"] == first.token
    monkeypatch.setenv("JUPYTER_TOKEN", "mine")
    given = binding(ip="127.0.0.1", port=0, certfile="", keyfile="")
    assert given.token == "mine" and "mine" not in str(given.told())


def test_a_taken_port_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Missing, match="taken"):
            bound(port=other.getsockname()[1])


def test_the_commands_refuse_with_the_remedy() -> None:
    for command in ("serve", "view"):
        done = CliRunner().invoke(cli, [command, "--ip", "0.0.0.0", "--port", "0"])
        assert done.exit_code == 2 and "JUPYTER_TOKEN" in done.stderr
        half = CliRunner().invoke(cli, [command, "--certfile", "a.pem", "--port", "0"])
        assert half.exit_code == 2


def test_what_decides_about_access_is_set_here_and_nowhere_else(tmp_path: Path) -> None:
    found = configuration(
        binding(ip="127.0.0.1", port=0, certfile="", keyfile=""), tmp_path, Path("/tmp/x")
    )
    own = found.ServerApp
    assert own.allow_unauthenticated_access is False and own.disable_check_xsrf is False
    assert own.allow_origin == "" and own.allow_remote_access is False
    assert found.PasswordIdentityProvider.hashed_password == ""
    assert found.KernelManager.transport == "ipc"
    long = Path("/tmp") / ("x" * LONGEST_SOCKET)
    other = configuration(binding(ip="127.0.0.1", port=0, certfile="", keyfile=""), tmp_path, long)
    assert "KernelManager" not in other


def test_jupyters_folders_are_private_and_go_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, "before")
    with jupyter_folders(Home(tmp_path)) as runtime:
        assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
        first, *_ = os.environ["JUPYTER_PATH"].split(os.pathsep)
        assert (Path(first) / "kernels" / "hybridnb-dashboard" / "kernel.json").is_file()
        assert Path(os.environ["JUPYTER_CONFIG_DIR"]).is_relative_to(tmp_path)
    assert not runtime.exists()


def test_an_installed_package_edits_copies_of_its_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybridnb.app.server import serving

    given = notebooks_folder(Home(tmp_path))
    assert (given / "dashboard.ipynb").is_file() and not given.is_relative_to(tmp_path)
    monkeypatch.setattr(serving, "checkout", lambda: None)
    folder = notebooks_folder(Home(tmp_path))
    assert folder.is_relative_to(tmp_path)
    (folder / "training.ipynb").write_text("edited")
    again = notebooks_folder(Home(tmp_path))
    assert {p.name for p in again.glob("*.ipynb")} == {p.name for p in given.glob("*.ipynb")}
    assert (again / "training.ipynb").read_text() == "edited"


def test_the_schedule_ends_with_the_server() -> None:
    said: list[str] = []

    def passes() -> bool:
        return any(thread.name == "schedule" for thread in threading.enumerate())

    with scheduled(said.append) as begin:
        assert not passes(), "not before the server is ready"
        begin()
        end = time.monotonic() + 30.0
        while not passes() and time.monotonic() < end:
            time.sleep(0.01)
        assert passes(), said
    assert not passes()
    with scheduled(None) as begin:
        begin()
        assert not passes()


@pytest.mark.parametrize(("command", "named"), [("serve", "server"), ("view", "viewer")])
def test_nothing_is_restored_under_what_serves(
    command: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HYBRIDNB_HOME", str(home))
    open_ledger().append("session", [{"kind": "other"}])
    file = make_backup(str(tmp_path / "b.zip"))["file"]
    serving = start(home, command, *["--no-schedule"] * (command == "serve"))
    try:
        with pytest.raises(Refused, match=f"{named}-{serving.told['port']}"):
            restore_backup(file, reason="test", replace=True)
    finally:
        serving.stop()


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def running(request: pytest.FixtureRequest, book_home: Path) -> Iterator[tuple[Served, int]]:
    made = start(book_home, "serve", "--no-schedule")
    yield made, request.param
    made.stop(signal.SIGKILL)


def children(pid: int) -> set[int]:
    """Processes that a process started, and theirs."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            own = int(path.parent.name)
            found |= {own} | children(own)
    return found


def test_a_signal_ends_the_server_and_every_kernel(running: tuple[Served, int]) -> None:
    server, how = running
    with server.operator() as operator:
        assert operator.post("/api/kernels", json={"name": "hybridnb-dashboard"}).is_success
        assert operator.get("/lab").status_code in (200, 302)
    kernels = children(server.process.pid)
    assert kernels
    assert server.stop(signal.Signals(how)) == 0
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in kernels) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in kernels)
    assert TOKEN not in (server.home / "server.log").read_text()
