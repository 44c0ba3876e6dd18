"""The confirmation: what will happen, what is to be chosen, and why; then yes or no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
from markupsafe import Markup

from hybridnb.app.dashboard.controls import Control
from hybridnb.app.dashboard.model import View, names
from hybridnb.app.dashboard.words import NOTHING
from hybridnb.errors import HybridnbError

EVERY = "every book"
_HEAD = Markup('<h2 id="hb-question">{}</h2>{}<p class="quiet">{}</p>')
_PROBLEM = Markup('<p class="problem" role="alert"><b>Not done.</b> {} {}</p>')


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator confirmed."""

    control: Control
    reason: str
    book: str
    which: str

    def carry_out(self) -> str:
        """Do it; what became of it in a sentence."""
        return self.control.run(reason=self.reason, book=self.book, which=self.which)


class Confirmation:
    """A dialog that one control at a time opens.

    Parameters
    ----------
    confirmed : callable
        Called with the wish; what it raises as `HybridnbError` is shown and the dialog stays.
    """

    def __init__(self, confirmed: Callable[[Wish], None]) -> None:
        self._confirmed = confirmed
        self._control: Control | None = None
        self._which = ""
        self._head = widgets.HTML()
        self._choice = widgets.Dropdown(description="Choice")
        self._book = widgets.Dropdown(description="Book")
        # Sent when the field is left, so that a click never overtakes the last letters.
        self._reason = widgets.Text(
            description="Reason", placeholder="Why, for the record", continuous_update=False
        )
        self._problem = widgets.HTML()
        self._yes, no = widgets.Button(), widgets.Button(description="Cancel")
        self._yes.add_class("hb-yes")
        no.add_class("hb-no")
        self._yes.on_click(self._on_yes)
        no.on_click(self._on_no)
        fields = (self._choice, self._book, self._reason)
        buttons = widgets.HBox([self._yes, no])
        buttons.add_class("hb-answers")
        self.box = widgets.VBox([self._head, *fields, self._problem, buttons])
        self.box.add_class("hb-dialog")
        self._show(self.box, shown=False)

    def open(
        self, control: Control, view: View, *, which: str = "", about: Markup = NOTHING
    ) -> None:
        """Ask about a control.

        Parameters
        ----------
        which : str
            What it is about, where that isn't chosen in the dialog.
        about : Markup
            Shows it.
        """
        self._control, self._which = control, which
        self._head.value = str(_HEAD.format(control.question, about, control.effect))
        self._choice.description = control.choice or "Choice"
        _offer(self._choice, control.options(view) if control.choice else [])
        self._show(self._choice, shown=bool(control.choice))
        _offer(self._book, _books(control, view))
        several = control.per_book and len(self._book.options) > 1
        self._show(self._book, shown=several)
        if several:
            self._book.value = str(view.book.get("book", ""))
        self._reason.value, self._problem.value = "", ""
        self._yes.description, self._yes.disabled = control.verb, False
        self._show(self.box, shown=True)

    def close(self) -> None:
        """Put it away; nothing was done."""
        self._control = None
        self._show(self.box, shown=False)

    def _on_no(self, _: Any) -> None:
        self.close()

    def _on_yes(self, _: Any) -> None:
        control = self._control
        if control is None:
            return
        reason = self._reason.value.strip()
        if not reason:
            self._refuse("A reason is needed:", "it goes into the ledger with the action.")
            return
        which = str(self._choice.value or "") if control.choice else self._which
        book = str(self._book.value or "") if control.per_book else ""
        # A second click while the first is at work must not do it twice.
        self._yes.disabled = True
        try:
            self._confirmed(Wish(control, reason, book, which))
        except HybridnbError as error:
            self._refuse(f"{error}.", error.remedy)
        else:
            self.close()
        finally:
            self._yes.disabled = False

    def _refuse(self, sentence: str, remedy: str) -> None:
        self._problem.value = str(_PROBLEM.format(sentence, remedy))

    @staticmethod
    def _show(widget: Any, *, shown: bool) -> None:
        widget.layout.display = "flex" if shown else "none"


def _offer(field: Any, options: list[tuple[str, str]]) -> None:
    """Options to choose from, the first one chosen: a list left by itself chooses none."""
    field.options = options
    field.index = 0 if options else None


def _books(control: Control, view: View) -> list[tuple[str, str]]:
    """The books that may be meant; forcing DEMO may mean them all."""
    known = [(name, name) for name in names(view.status)]
    return [*known, (EVERY, "")] if control.name == "demo" and len(known) > 1 else known
