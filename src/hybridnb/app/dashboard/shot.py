"""A picture of the dashboard, as Chromium shows it from a Voila of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridnb.app.dashboard.entry import READ_ONLY, TEMPLATE, dashboard_notebook, jupyter_data
from hybridnb.app.pdf import browser
from hybridnb.errors import Missing

START_SECONDS = 60.0
# The widgets' own extensions; the second is Voila's, without which no widget shows.
EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextmanager
def served(*, read_only: bool = False, notebook: Path | None = None) -> Iterator[tuple[str, int]]:
    """The dashboard in a Voila on a free port of the loopback: its address and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(jupyter_data()), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    line = [
        *(sys.executable, "-m", "voila", str(notebook or dashboard_notebook()), "--no-browser"),
        *(f"--template={TEMPLATE}", f"--port={port}", "--Voila.ip=127.0.0.1"),
        *(f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS),
    ]
    told = {"JUPYTER_PATH": os.pathsep.join(paths)} | ({READ_ONLY: "1"} if read_only else {})
    with subprocess.Popen(
        line, env=os.environ | told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _until_open(process, port)
            yield f"http://127.0.0.1:{port}/", process.pid
        finally:
            process.terminate()


def _until_open(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise Missing("Voila doesn't start", remedy="`hybridnb doctor` says what is missing.")


def take(out: Path, *, width: int, height: int, scheme: str, stale_days: float) -> Path:
    """Open the dashboard, wait for its first pulse, and keep what is seen.

    Raises
    ------
    Missing
        Without Chromium or Playwright.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing(
            "Playwright isn't installed", remedy="`pip install 'hybridnb[test]'`."
        ) from None
    browser_path = browser()
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(notebook=_told(Path(scratch), stale_days=stale_days)) as (address, _),
        sync_playwright() as play,
    ):
        opened = play.chromium.launch(executable_path=browser_path, args=list(QUIET))
        page = opened.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page.goto(address)
        page.wait_for_selector("html.ready", timeout=1000 * START_SECONDS)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(out))
        opened.close()
    return out


def _told(folder: Path, **parameters: float) -> Path:
    """A copy of the dashboard's notebook with these parameters."""
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    plain = load_notebook_node(str(dashboard_notebook()))
    copy = folder / "dashboard.ipynb"
    nbformat.write(parameterize_notebook(plain, parameters), copy)
    return copy
