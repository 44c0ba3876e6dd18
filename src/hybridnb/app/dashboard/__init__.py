"""The dashboard: what `notebooks/dashboard.ipynb` opens, and where its Voila template lies."""

from hybridnb.app.dashboard.entry import (
    TEMPLATE,
    dashboard_notebook,
    jupyter_data,
    open_board,
    picture,
    template_paths,
)

__all__ = (
    "TEMPLATE",
    "dashboard_notebook",
    "jupyter_data",
    "open_board",
    "picture",
    "template_paths",
)
