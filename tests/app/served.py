"""A serving command, run as a process of its own, and those who call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TOKEN = "a token for tests"
# Nobody outside is asked, whatever a test posts.
ALONE = {"OPENAI_API_KEY": "", "OLLAMA_HOST": "127.0.0.1:9", "JUPYTER_TOKEN": TOKEN}


@dataclass(frozen=True)
class Served:
    """A running command of the command line, and what it announced."""

    process: subprocess.Popen[str]
    told: dict[str, Any]
    home: Path

    @property
    def url(self) -> str:
        return str(self.told["url"]).rstrip("/")

    def client(self, **headers: str) -> httpx.Client:
        """Of nobody, unless headers say who."""
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def operator(self) -> httpx.Client:
        return self.client(Authorization=f"token {TOKEN}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=30)


def start(home: Path, *words: str, **more: str) -> Served:
    """Run a serving command on a free port until it says that it is ready."""
    env = os.environ | ALONE | {"HYBRIDNB_HOME": str(home)} | more
    env["HYBRIDNB_REPORTS"] = str(home / "reports")
    env = {name: value for name, value in env.items() if value}
    with (home / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hybridnb.app.cli", *words, "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=env,
            cwd=home,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait(timeout=30)
        raise AssertionError((home / "server.log").read_text())
    return Served(process, json.loads(line), home)


def opened(served: Served, browser: Any) -> Any:
    """A page with the dashboard, connected to its kernel."""
    page = browser.new_page()
    live(served, page)
    return page


def live(served: Served, page: Any) -> None:
    """Lead a page to the dashboard and wait until it is connected."""
    page.goto(f"{served.url}/?token={TOKEN}", wait_until="commit")
    page.wait_for_selector(".jupyter-widgets", timeout=60_000)
