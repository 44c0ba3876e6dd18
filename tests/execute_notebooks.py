"""Make the executed copies that nbval compares: `python tests/execute_notebooks.py [NAME ...]`.

Each shipped notebook, or each that is named, is run with the smoke profile in a home of its own;
the copy keeps its outputs and nothing of when or where it ran.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill

ROOT = Path(__file__).resolve().parents[1]
LIVE = "dashboard"  # shows the present, and goes on showing it
PARAMETERS = {"feed": "sample", "session": "2013-03-01", "seed": 7, "profile": "smoke"}


def main() -> None:
    """Execute the notebooks; the models are trained once, by the first that needs them."""
    named = set(sys.argv[1:])
    shipped = [p for p in sorted((ROOT / "notebooks").glob("*.ipynb")) if p.stem != LIVE]
    if unknown := named - {path.stem for path in shipped}:
        raise SystemExit(f"no such notebook: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["HYBRIDNB_HOME"] = home
        for source in (path for path in shipped if not named or path.stem in named):
            target = ROOT / "tests" / "notebooks" / source.name
            papermill.execute_notebook(
                str(source), str(target), PARAMETERS, progress_bar=False, record_timing=False
            )
            notebook = nbformat.read(target, as_version=4)
            notebook.metadata.pop("papermill", None)
            notebook.metadata.pop("widgets", None)
            for cell in notebook.cells:
                cell.metadata.pop("papermill", None)
                cell.metadata.pop("execution", None)
                if "injected-parameters" in cell.metadata.get("tags", []):
                    cell.id = "injected"
            nbformat.write(notebook, target)
            sys.stdout.write(f"{target.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
