"""Lines with a button each, kept and filled anew, so that nothing flickers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from markupsafe import Markup

Asked = Callable[[str, Markup], None]


class _Row:
    """One line: its text, its button, and the key of what it shows now."""

    def __init__(self, label: str, asked: Asked | None) -> None:
        self.key, self._shown = "", Markup("")
        self._text = widgets.HTML()
        self._asked = asked
        button = widgets.Button(description=f"{label}\N{HORIZONTAL ELLIPSIS}")
        button.on_click(self._clicked)
        self.box = widgets.Box([self._text, *([button] if asked else [])])
        self.box.add_class("hb-row")

    def put(self, key: str, shown: Markup) -> None:
        if self._shown != shown:
            self._text.value = str(shown)
        self.key, self._shown = key, shown

    def _clicked(self, _: Any) -> None:
        if self._asked is not None:
            self._asked(self.key, self._shown)


class Rows:
    """As many lines as there is something to show.

    Parameters
    ----------
    label : str
        On each line's button.
    asked : callable, optional
        Called with the line's key and markup; without it no line has a button.
    """

    def __init__(self, label: str, asked: Asked | None) -> None:
        self._label, self._asked = label, asked
        self._rows: list[_Row] = []
        self.box = widgets.Box([])
        self.box.add_class("hb-rows")

    def put(self, items: Sequence[tuple[str, Markup]]) -> None:
        """Show these: key and markup."""
        while len(self._rows) < len(items):
            self._rows.append(_Row(self._label, self._asked))
        for row, (key, shown) in zip(self._rows, items, strict=False):
            row.put(key, shown)
        wanted = [row.box for row in self._rows[: len(items)]]
        if list(self.box.children) != wanted:
            self.box.children = wanted
