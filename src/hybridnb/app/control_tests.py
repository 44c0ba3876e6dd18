"""The yearly test of the controls (T2): their tests run, the results a row of the ledger."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridnb.app.controls import CONTROLS, Control
from hybridnb.app.home import LEDGER, REPORTS, VARIABLE, checkout
from hybridnb.app.ledgers import open_ledger
from hybridnb.app.operators import wall_time
from hybridnb.app.progress import Say
from hybridnb.errors import CheckFailed, Missing, UsageError
from hybridnb.ledger.store import Ledger
from hybridnb.registry.manifest import git_state

TESTED = "controls_tested"  # kind of the row
SECONDS = 3600


def list_controls(ledger: Ledger | None = None) -> list[dict[str, Any]]:
    """Every control with its newest result: passed, failed, or None where it wasn't tested."""
    rows = (ledger or open_ledger()).rows("operations", kind=TESTED)
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:
        for name, result in row["results"].items():
            newest[name] = {"result": result, "tested": row["at"]}
    untested: dict[str, Any] = {"result": None, "tested": None}
    return [
        {"id": c.id, "what": c.what, "place": c.place, "test": c.test} | newest.get(c.id, untested)
        for c in CONTROLS
    ]


def run_controls(names: Sequence[str] = (), *, say: Say) -> dict[str, Any]:
    """Run the controls' tests, each in homes of its own, and record what came of them.

    Parameters
    ----------
    names : sequence of str
        Ids of controls; all of them by default.

    Returns
    -------
    dict
        results by id, passed, failed, at, commit.

    Raises
    ------
    Missing
        Without a checkout: a wheel has no tests.
    UsageError
        For an id that no control has.
    CheckFailed
        When a control's test fails; the row is written first.
    """
    root = checkout()
    if root is None or not (root / "tests").is_dir():
        raise Missing("the tests of the controls are in a checkout", remedy="Run it in one.")
    chosen = _chosen(names)
    git = git_state(root)
    results = _results(root, chosen, say)
    row: dict[str, Any] = {"kind": TESTED, "results": results, "at": wall_time()}
    row |= {"commit": git["commit"] if git else None, "dirty": git["dirty"] if git else None}
    open_ledger().append("operations", [row])
    failed = sorted(name for name, result in results.items() if result != "passed")
    done: dict[str, Any] = {k: v for k, v in row.items() if k != "kind"}
    done |= {"passed": len(results) - len(failed), "failed": failed}
    if failed:
        raise CheckFailed(
            f"controls that don't hold: {', '.join(failed)}",
            remedy="Stop trading live until their tests pass again.",
            details=done,
        )
    return done


def _chosen(names: Sequence[str]) -> list[Control]:
    known = {control.id: control for control in CONTROLS}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no control {unknown[0]}", remedy=f"Known: {', '.join(known)}.")
    return [known[name] for name in names] or list(CONTROLS)


def _results(root: Path, chosen: Sequence[Control], say: Say) -> dict[str, str]:
    """Outcome by control; a test that left no result has failed."""
    with tempfile.TemporaryDirectory(prefix="hybridnb-controls-") as name:
        told = Path(name, "results.xml")
        tests = sorted({f"tests/{control.test}" for control in chosen})
        say(f"{len(tests)} tests of {len(chosen)} controls")
        call = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib"]
        call += ["-p", "no:cacheprovider", f"--junitxml={told}", *tests]
        # Nothing of the real home is in reach: T1.
        mine = {VARIABLE: f"{name}/home", REPORTS: f"{name}/reports"}
        env = {k: v for k, v in os.environ.items() if k != LEDGER} | mine
        try:
            done = subprocess.run(
                call, cwd=root, env=env, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"the tests took more than {SECONDS} seconds") from None
        if not told.is_file():
            words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-300:]
            raise CheckFailed(f"the tests didn't run: {words}")
        passed = _passed(told)
    return {c.id: "passed" if _case(c.test) in passed else "failed" for c in chosen}


def _passed(report: Path) -> set[tuple[str, str]]:
    """Module and function of each test all of whose cases passed."""
    from defusedxml.ElementTree import parse

    ended: dict[tuple[str, str], bool] = {}
    for case in parse(report).getroot().iter("testcase"):
        key = case.get("classname", ""), _bare(case.get("name", ""))
        bad = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        ended[key] = ended.get(key, True) and not bad
    return {key for key, held in ended.items() if held}


def _case(test: str) -> tuple[str, str]:
    file, _, name = test.partition("::")
    return f"tests.{file.removesuffix('.py').replace('/', '.')}", name


def _bare(name: str) -> str:
    return name.partition("[")[0]


def controls_text(found: Sequence[Mapping[str, Any]]) -> str:
    """A line a control."""
    return "\n".join(
        f"{c['id']:<4} {c['result'] or 'not tested here'}"
        f"{' ' + c['tested'][:10] if c['tested'] else ''}  {c['what']}"
        for c in found
    )
