"""`%hybridnb`: the command line's words in a notebook, rich, completed, without tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escalating import Book, write_params
from IPython.core.completer import IPCompleter
from IPython.core.interactiveshell import InteractiveShell

from hybridnb.app.cli import cli
from hybridnb.app.magics import ENDLESS, Answer, Told, answer, completions

SESSION = "2013-02-25"


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    made = InteractiveShell()
    made.run_line_magic("load_ext", "hybridnb")
    yield made
    made.run_line_magic("unload_ext", "hybridnb")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one traded session."""
    folder = tmp_path_factory.mktemp("magics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDNB_HOME", str(folder / "home"))
        Book(write_params(folder / "p")).trade(SESSION)
    return folder / "home"


def test_status_has_its_values_and_a_table(
    book: Path, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDNB_HOME", str(book))
    found = shell.run_cell("%hybridnb status").result
    assert [b["session"] for b in found.result["books"]] == [SESSION]
    name = found.result["books"][0]["book"]
    assert "<table>" in found._repr_html_() and name in found._repr_html_()
    assert repr(found) == found.text and "kill switch ready" in found.text


def test_explain_brings_the_picture(
    book: Path, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDNB_HOME", str(book))
    found = shell.run_cell("why = %hybridnb explain AAPL\nwhy").result
    assert found.result["decision"]["symbol"] == "AAPL" and found.result["score_equal"]
    assert "<svg" in found._repr_html_() and "Input rows" in repr(found)
    verified = shell.run_cell("%hybridnb ledger verify").result
    assert verified.result["ok"] is True and "rows hold" in repr(verified)


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("explain NOPE", "no decision 'NOPE' in the ledger", "Symbols with decisions"),
        ("explain", "Missing argument 'DECISION'", "--help"),
        ("nonsense", "no command 'nonsense'", "Commands: "),
        ("status --nonsense", "No such option", "--help"),
        ("day --feed nonsense", "nonsense", ""),
        ('explain "', "No closing quotation", "--help"),
        *(
            (name, "runs until it is stopped", "in a terminal")
            for name in sorted(ENDLESS & {*cli.commands})
        ),
    ],
)
def test_an_error_is_a_message_and_a_remedy(
    line: str, message: str, remedy: str, shell: InteractiveShell, capsys: Any
) -> None:
    done = shell.run_cell(f"%hybridnb {line}")
    assert isinstance(done.error_in_exec, Told)
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert message in said and remedy in said and "Traceback" not in said


def test_a_check_that_fails_is_an_error() -> None:
    with pytest.raises(Told) as caught:
        answer("gates --model-id nonsense")
    assert caught.value.exit_code != 0


def test_hostile_text_stays_text() -> None:
    found = Answer("report", {}, "<script>alert(1)</script>")
    assert "<script>" not in found._repr_html_()
    status = {"books": [], "alerts": {"unacknowledged": 2}}
    assert "2 alerts" in Answer("status", status, "<b>")._repr_html_()


def test_help_is_the_command_line_s() -> None:
    assert "Run the main job" in answer("").text
    assert "--feed" in answer("day --help").text
    assert "verify" in answer("ledger").text


def test_every_command_has_a_form_for_notebooks() -> None:
    def commands(group: Any) -> Iterator[Any]:
        for command in group.commands.values():
            yield from commands(command) if hasattr(command, "commands") else [command]

    for command in commands(cli):
        if command.name not in ENDLESS:
            assert hasattr(command.callback, "__wrapped__"), command.name


def test_completion() -> None:
    assert completions("%hybridnb st") == ["status"]
    assert completions("%hybridnb ledger ve") == ["verify"]
    assert completions("%hybridnb day --fe") == ["--feed"]
    assert set(completions("%hybridnb ")) == set(cli.commands)
    assert completions("%hybridnb explain ") == ["--json"]


def test_a_shell_completes_the_commands(shell: InteractiveShell) -> None:
    completer = shell.Completer
    assert isinstance(completer, IPCompleter)
    found = completer.complete(line_buffer="%hybridnb stat", cursor_pos=14)[1]
    assert "status" in found


def test_unloaded_it_is_gone(capsys: Any) -> None:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "hybridnb")
    shell.run_line_magic("unload_ext", "hybridnb")
    assert shell.find_line_magic("hybridnb") is None
