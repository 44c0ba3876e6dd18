"""Widgets of the gallery, for JupyterLab: a decision picked from a list."""

from __future__ import annotations

from typing import Any

from hybridnb.app.again import Recorded
from hybridnb.app.gallery_decisions import names_of, of_session


def picker(one: Recorded) -> Any:
    """A list of a session's decisions, the strongest first; pictures of the chosen one."""
    import ipywidgets as widgets
    from IPython.display import display

    names = names_of(one)
    if not names:
        return widgets.HTML("This session decided nothing.")
    labels = [
        (f"{name}: {one.decisions[name]['action']} {_score(one.decisions[name])}", name)
        for name in names
    ]
    choice = widgets.Dropdown(options=labels, value=names[0], description="decision")

    def show(decision: str) -> None:
        found = of_session(one, decision)
        display(found.waterfall(), found.size())

    return widgets.VBox([choice, widgets.interactive_output(show, {"decision": choice})])


def _score(row: Any) -> str:
    return "without a score" if row["score"] is None else f"{row['score']:.3f}"
