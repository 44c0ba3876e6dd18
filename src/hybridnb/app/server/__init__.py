"""The server: dashboard, Lab, API, metrics and reports behind one token."""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter finds the extension; nothing of it loads before it is asked for."""
    from hybridnb.app.server.extension import HybridnbApp

    return [{"module": "hybridnb.app.server", "app": HybridnbApp}]
