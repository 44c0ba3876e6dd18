"""The dashboard's widgets: panels that are redrawn only when what they show has changed."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import ipywidgets as widgets
from markupsafe import Markup

from hybridnb.app.dashboard.confirming import Confirmation, Wish
from hybridnb.app.dashboard.controls import (
    ACKNOWLEDGE,
    APPROVE,
    CONTROLS,
    WITHDRAW,
    Control,
)
from hybridnb.app.dashboard.jobs import alert_line, in_force_line, proposal_line
from hybridnb.app.dashboard.model import Staleness, View, names, rows
from hybridnb.app.dashboard.panels import PANELS, drawn
from hybridnb.app.dashboard.poll import Watch
from hybridnb.app.dashboard.reading import Source
from hybridnb.app.dashboard.rows import Rows
from hybridnb.app.dashboard.top import top_bar
from hybridnb.errors import HybridnbError

_BEAT = Markup('<span data-beat="{}" data-at="{}">updated {} UTC</span>')
_PLACES = """<nav aria-label="Beside this page"><a href="/lab" target="_blank">Lab</a>
<a href="/reports/" target="_blank">Reports</a></nav>"""
_SAID = Markup('<p class="{}">{}</p>')


class Board:
    """One page: top bar, controls, panels, confirmation.

    Parameters
    ----------
    book : str
        The book shown first; empty for the one that trades, else the newest.
    stale : Staleness
    poll_seconds : float
    read_only : bool
        Without controls.
    """

    def __init__(
        self, *, book: str, stale: Staleness, poll_seconds: float, read_only: bool
    ) -> None:
        self._stale, self._read_only = stale, read_only
        self._wanted, self._beats = book, 0
        self._unread = False  # said to be so, and not taken back yet
        self._drawing = threading.Lock()
        self._source = Source(links=not read_only)
        self._view = View(status={}, book={}, now=dt.datetime.now(dt.UTC))
        self._make()
        seen = self._first()
        self._watch = Watch(
            version=self._source.version,
            seen=seen,
            changed=self.draw,
            pulse=self._pulse,
            failed=self._failed,
            every=poll_seconds,
        )

    def _first(self) -> int | None:
        """Draw for the first time; what can't be read is said, and the controls are there."""
        try:
            seen = self._source.version()
            self.draw()
        except Exception as error:  # noqa: BLE001 - it is told, and the next look tries anew
            self._failed(error)
            return None
        return seen

    def _make(self) -> None:
        """The widgets, empty."""
        self._top, self._beat, self._said = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._books = widgets.Dropdown(description="Book")
        self._books.observe(self._on_book, names="value")
        self._panels = {panel.name: widgets.HTML() for panel in PANELS}
        self._cells: dict[str, Any] = {}  # a panel with its rows
        self._confirmation = Confirmation(self._carry_out)
        able = not self._read_only
        self._alerts = Rows(ACKNOWLEDGE.label, self._asker(ACKNOWLEDGE) if able else None)
        self._proposals = Rows(APPROVE.label, self._asker(APPROVE) if able else None)
        self._replies = Rows(WITHDRAW.label, self._asker(WITHDRAW) if able else None)
        places = widgets.HTML(_PLACES)
        _named(places, "places")
        header = _box([self._top, self._books, *([places] if able else []), self._beat], "top")
        boxes = [header, *([self._buttons()] if able else []), self._said, self._grid()]
        _named(self._beat, "beat")
        _named(self._said, "said")
        _named(self._books, "books")
        css = files("hybridnb.app.dashboard").joinpath("board.css").read_text(encoding="utf-8")
        style = widgets.HTML(f"<style>{css}</style>")
        style.layout.display = "none"
        page = _box(boxes, "main")
        self.widget = _box([style, page, *([self._confirmation.box] if able else [])], "board")

    def _buttons(self) -> widgets.Box:
        made = []
        for control in CONTROLS:
            button = widgets.Button(description=f"{control.label}\N{HORIZONTAL ELLIPSIS}")
            button.add_class(f"hb-do-{control.name}")
            button.on_click(self._opener(control))
            made.append(button)
        return _box(made, "controls")

    def _grid(self) -> widgets.Box:
        inside: dict[str, Sequence[Rows]] = {
            "alerts": (self._alerts,),
            "escalation": (self._replies, self._proposals),
        }
        columns: dict[str, list[Any]] = {}
        for panel in PANELS:
            more = [each.box for each in inside.get(panel.name, ())]
            cell = _box([self._panels[panel.name], *more], panel.name)
            cell.add_class("hb-panel")
            self._cells[panel.name] = cell
            columns.setdefault(panel.column, []).append(cell)
        return _box([_box(cells, name) for name, cells in columns.items()], "grid")

    def _opener(self, control: Control) -> Callable[[Any], None]:
        def clicked(_: Any) -> None:
            self._confirmation.open(control, self._view)

        return clicked

    def _asker(self, control: Control) -> Callable[[str, Markup], None]:
        def clicked(key: str, shown: Markup) -> None:
            self._confirmation.open(control, self._view, which=key, about=shown)

        return clicked

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._watch.start()

    def close(self) -> None:
        """Stop following it."""
        self._watch.stop()

    def draw(self) -> None:
        """Read the present state and redraw what differs from what is shown."""
        with self._drawing:
            self._view = view = self._source.view(self._wanted, self._stale)
            self._choose_among(names(view.status), str(view.book.get("book", "")))
            _put(self._top, str(top_bar(view)))
            for panel in PANELS:
                found = drawn(panel, view)
                _put(self._panels[panel.name], found)
                _display(self._cells[panel.name], shown=bool(found))
            self._put_rows(view)
            if self._unread:
                self._unread = False
                self._say("The ledger can be read again.")

    def _put_rows(self, view: View) -> None:
        waiting = rows(view.block("alerts"), "newest")
        self._alerts.put([(str(a.get("id")), alert_line(a, view)) for a in waiting])
        escalated = view.block("escalation")
        loosened = rows(escalated, "proposals")
        self._proposals.put([(str(p.get("id")), proposal_line(p)) for p in loosened])
        held = rows(escalated, "in_force")
        self._replies.put([(str(r.get("reply")), in_force_line(r)) for r in held])

    def _choose_among(self, known: list[str], shown: str) -> None:
        """Keep the list of books; setting it by ourselves is no choice of the reader's."""
        if tuple(self._books.options) != tuple(known):
            self._books.unobserve(self._on_book, names="value")
            self._books.options = known
            self._books.observe(self._on_book, names="value")
        if known and self._books.value != shown:
            self._books.unobserve(self._on_book, names="value")
            self._books.value = shown
            self._books.observe(self._on_book, names="value")
        _display(self._books, shown=len(known) > 1)

    def _on_book(self, change: Any) -> None:
        self._wanted = str(change["new"] or "")
        self._watch.wake()

    def _pulse(self) -> None:
        self._beats += 1
        now = dt.datetime.now(dt.UTC)
        at = now.isoformat(timespec="milliseconds")
        self._beat.value = str(_BEAT.format(self._beats, at, f"{now:%H:%M:%S}"))

    def _failed(self, error: Exception) -> None:
        self._unread = True
        if isinstance(error, HybridnbError | OSError):
            said = f"{error} {getattr(error, 'remedy', '')}"
        else:
            said = f"{type(error).__name__}: {error}. The controls work; `hybridnb doctor` looks."
        self._say(f"The ledger can't be read: {said}", kind="problem")

    def _say(self, text: str, *, kind: str = "done") -> None:
        _put(self._said, str(_SAID.format(kind, text)))

    def _carry_out(self, wish: Wish) -> None:
        """Do what was confirmed: at once, or beside the page where a reasoner is asked."""
        if not wish.control.slow:
            self._say(wish.carry_out())
            self._watch.wake()
            return
        self._say(f"{wish.control.label}: asking; this may take minutes. The page stays live.")
        threading.Thread(target=self._carry_out_slowly, args=(wish,), daemon=True).start()

    def _carry_out_slowly(self, wish: Wish) -> None:
        try:
            self._say(f"{wish.control.label}: {wish.carry_out()}")
        except HybridnbError as error:
            self._say(f"{wish.control.label} not done: {error}. {error.remedy}", kind="problem")
        self._watch.wake()

    def _repr_mimebundle_(self, **given: Any) -> Any:
        found = self.widget._repr_mimebundle_(**given)
        data = found[0] if isinstance(found, tuple) else found
        return data | {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return "The dashboard of `hybridnb serve`, live in a running kernel"


def _box(children: Sequence[Any], name: str) -> Any:
    made = widgets.Box(list(children))
    _named(made, name)
    return made


def _named(widget: Any, name: str) -> None:
    widget.add_class(f"hb-{name}")


def _put(widget: Any, value: str) -> None:
    """Set a text if it differs: an equal one would only flicker."""
    if widget.value != value:
        widget.value = value


def _display(widget: Any, *, shown: bool) -> None:
    wanted = None if shown else "none"
    if widget.layout.display != wanted:
        widget.layout.display = wanted
