"""What Jupyter finds of us works: the kernel starts and knows the magic, Lab's launcher has us."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from hybridnb import __version__
from hybridnb.app.jupyter_files import KERNEL, LAUNCHER, folder, install

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
SECONDS = 60.0


def test_the_shipped_files_are_whole() -> None:
    kernel = folder() / "kernels" / KERNEL
    spec = json.loads((kernel / "kernel.json").read_text(encoding="utf-8"))
    assert spec["display_name"] == KERNEL and spec["argv"][0] == "python"
    assert "--ext=hybridnb" in spec["argv"] and "{connection_file}" in spec["argv"]
    for side in (32, 64):
        with Image.open(kernel / f"logo-{side}x{side}.png") as logo:
            assert logo.size == (side, side)
    launcher = folder() / "labextensions" / LAUNCHER
    package = json.loads((launcher / "package.json").read_text(encoding="utf-8"))
    assert package["name"] == LAUNCHER and package["version"] == __version__
    assert (launcher / package["jupyterlab"]["_build"]["load"]).is_file()


def test_nothing_shipped_asks_for_another_address() -> None:
    for path in folder().rglob("*"):
        if path.suffix in (".js", ".json", ".svg"):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text and "https:" not in text, path


def test_the_gallery_s_entries_are_notebooks_that_are_shipped() -> None:
    entry = folder() / "labextensions" / LAUNCHER / "static/remoteEntry.js"
    text = entry.read_text(encoding="utf-8")
    listed = text[text.index("const GALLERY") : text.index("];", text.index("const GALLERY"))]
    stems = [line.split("'")[1] for line in listed.splitlines() if "['" in line]
    assert len(stems) >= 8 and all((ROOT / "notebooks" / f"{s}.ipynb").is_file() for s in stems)


def test_installing_twice_leaves_the_shipped_files_and_this_python(tmp_path: Path) -> None:
    stale = tmp_path / "share/jupyter/kernels/hybridnb/stale.txt"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    written = [install(tmp_path), install(tmp_path)][-1]
    assert not stale.exists()
    spec = json.loads((written[0] / "kernel.json").read_text(encoding="utf-8"))
    assert spec["argv"][0] == sys.executable
    for place, source in zip(
        written,
        (folder() / "kernels" / KERNEL, folder() / "labextensions" / LAUNCHER),
        strict=True,
    ):
        names = {p.relative_to(source) for p in source.rglob("*") if p.is_file()}
        assert {p.relative_to(place) for p in place.rglob("*") if p.is_file()} == names
        for name in names - {Path("kernel.json")}:
            assert (place / name).read_bytes() == (source / name).read_bytes()


def test_the_kernel_starts_with_the_magic_and_nothing_heavy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyter_client.manager import KernelManager

    install(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share/jupyter"))
    manager = KernelManager(kernel_name=KERNEL)
    manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=SECONDS)
        heavy = ("torch", "pandas", "matplotlib", "sqlalchemy", "papermill")
        asked = {
            "magic": "get_ipython().find_line_magic('hybridnb') is not None",
            "heavy": f"[m for m in {heavy!r} if m in __import__('sys').modules]",
            "python": "__import__('sys').executable",
        }
        reply = client.execute("", user_expressions=asked, reply=True, timeout=SECONDS)
        said = {
            name: found["data"]["text/plain"]
            for name, found in reply["content"]["user_expressions"].items()
        }
        assert said == {"magic": "True", "heavy": "[]", "python": repr(sys.executable)}
        matches = client.complete("%hybridnb stat", reply=True, timeout=SECONDS)["content"]
        assert "status" in matches["matches"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def lab(root: Path, home: Path) -> Iterator[str]:
    """A JupyterLab of its own, pointed at the shipped files: its address with the token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "JUPYTER_PATH": str(folder()),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_TOKEN": "t",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
    command += ["--ServerApp.allow_root=True", "--ServerApp.jpserver_extensions={}"]
    process = subprocess.Popen(
        command, env=os.environ | given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2)
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/lab?token=t"
    finally:
        process.kill()  # its kernels end with it; asked politely it waits for each
        process.wait(SECONDS)


@pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason="Chromium isn't installed")
def test_lab_s_launcher_has_dashboard_and_gallery(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    root = tmp_path / "root"
    (root / "notebooks").mkdir(parents=True)
    source = ROOT / "notebooks" / "quickstart.ipynb"
    (root / "notebooks" / source.name).write_bytes(source.read_bytes())
    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    with lab(root, tmp_path) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=quiet.split())
        try:
            page = browser.new_page()
            outside: list[str] = []
            page.on(
                "request",
                lambda r: outside.append(r.url) if "127.0.0.1" not in r.url else None,
            )
            page.goto(address)
            section = page.locator(".jp-Launcher-section", has_text="Quickstart")
            section.wait_for(timeout=SECONDS * 1000)
            section.locator(".jp-LauncherCard", has_text="Quickstart").wait_for()
            names = section.locator(".jp-LauncherCard").all_inner_texts()
            assert [name.strip() for name in names] == ["Dashboard", "Reports", "Quickstart"]
            with page.expect_popup() as opened:
                section.locator(".jp-LauncherCard", has_text="Dashboard").click()
            assert opened.value.url.endswith("/hybridnb")
            section.locator(".jp-LauncherCard", has_text="Quickstart").click()
            page.locator(".jp-NotebookPanel").wait_for(timeout=SECONDS * 1000)
            assert not [url for url in outside if url.startswith("http")]
        finally:
            browser.close()
