"""What Jupyter finds of us: the kernel `hybridnb` with its logo, and entries in Lab's launcher.

A wheel puts these files into `share/jupyter` of its environment by itself. An editable installation
doesn't: `python -m hybridnb.app.jupyter_files` does it there, and a server of ours may be pointed
at `folder()` through `JUPYTER_PATH` without anything being installed.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

KERNEL = "hybridnb"
LAUNCHER = "@hybridnb/launcher"


def folder() -> Path:
    """A folder that `JUPYTER_PATH` may name: kernels and labextensions as shipped."""
    return Path(str(files("hybridnb.app").joinpath("share")))


def install(prefix: Path) -> list[Path]:
    """Put the files into `share/jupyter` of an environment.

    The kernel is started by the Python that runs now: by that one alone the package is sure to be
    found, wherever the Jupyter is that starts it.

    Parameters
    ----------
    prefix : Path
        Of the environment, for instance `sys.prefix`.

    Returns
    -------
    list of Path
        Folders that were written.
    """
    target = prefix / "share" / "jupyter"
    kernel = target / "kernels" / KERNEL
    launcher = target / "labextensions" / LAUNCHER
    for source, place in (
        (folder() / "kernels" / KERNEL, kernel),
        (folder() / "labextensions" / LAUNCHER, launcher),
    ):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place)
    spec = kernel / "kernel.json"
    found = json.loads(spec.read_text(encoding="utf-8"))
    found["argv"][0] = sys.executable
    spec.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return [kernel, launcher]


def main() -> None:
    """Install into the environment that runs this."""
    for place in install(Path(sys.prefix)):
        sys.stdout.write(f"{place}\n")


if __name__ == "__main__":
    main()
