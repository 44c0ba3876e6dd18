"""What every test stands on: a home of its own, no display, one thread, counted examples."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Before anything imports NumPy or torch: results must not depend on the number of cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest
from hypothesis import HealthCheck, settings

EVIDENCE = os.environ.get("HYBRIDNB_EVIDENCE") == "1"

settings.register_profile(
    "small",
    deadline=None,
    derandomize=True,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a shared machine is slow now and then
)
settings.register_profile("full", settings.get_profile("small"), max_examples=1000)
settings.load_profile("full" if EVIDENCE else "small")


HOME_KEY = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Notebook cells, and what runs while tests are collected, see no real home either."""
    config.stash[HOME_KEY] = tempfile.TemporaryDirectory(prefix="hybridnb-home-")
    os.environ["HYBRIDNB_HOME"] = config.stash[HOME_KEY].name
    os.environ["HYBRIDNB_REPORTS"] = str(Path(config.stash[HOME_KEY].name) / "reports")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[HOME_KEY].cleanup()


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh, empty home for each test, and no reports in the checkout."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HYBRIDNB_HOME", str(folder))
    monkeypatch.setenv("HYBRIDNB_REPORTS", str(folder / "reports"))
    return folder
