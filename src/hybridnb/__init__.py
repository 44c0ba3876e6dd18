"""hybridnb: a notebook-native control plane for trading."""

from __future__ import annotations

__version__ = "0.1.0"


def load_ipython_extension(shell: object) -> None:
    """`%load_ext hybridnb`: the commands as `%hybridnb`, and rich displays of the values."""
    from importlib import import_module

    import_module("hybridnb.app.magics").load(shell)


def unload_ipython_extension(shell: object) -> None:
    """`%unload_ext hybridnb`."""
    from importlib import import_module

    import_module("hybridnb.app.magics").unload(shell)
