"""Commands of evidence: what a verdict rests on, and what the detectors behind it can see."""

from __future__ import annotations

from typing import Any

import click

from hybridnb.app.cli_options import day_options, reported, request_of, say


def passed(done: Any, text: str, *, held: bool) -> tuple[Any, str, int]:
    """What a check found; it ends with 1 where it didn't pass."""
    return done, text, 0 if held else 1


@click.command()
@click.argument("target", default="", metavar="[FILE[:FUNCTION]]")
@day_options
@click.option("--cuts", default=50, type=click.IntRange(1, 10_000), help="Places to cut at.")
@reported
def lookahead(target: str, cuts: int, **given: Any) -> Any:
    """Audit features for looking ahead: the product's, or those of a Python file of yours."""
    from hybridnb.app.lookahead import audit_lookahead, lookahead_text

    done = audit_lookahead(request_of(**given), target, cuts=cuts, say=say)
    return passed(done, lookahead_text(done), held=done["status"] == "PASS")


@click.command()
@click.argument("traded", default="", metavar="[SESSION]")
@day_options
@click.option("--book", default="", help="A book by name; needed where there are several.")
@reported
def compare(traded: str, book: str, **given: Any) -> Any:
    """Run a recorded session again and show every row that differs; none is the normal answer."""
    from hybridnb.app.consistency import compared

    done, text = compared(request_of(**given), session=traded, book=book, say=say)
    return passed(done, text, held=done["equal"])


@click.command("counterfactuals")
@day_options
@click.option("--book", default="", help="A book by name; needed where there are several.")
@click.option("--closed", default="", help="Only trades closed in this session.")
@reported
def counterfactuals_(book: str, closed: str, **given: Any) -> Any:
    """Judge closed trades against what else could have been done, and price every bound."""
    from hybridnb.app.counterfactuals import counterfactuals_of

    return counterfactuals_of(request_of(**given), book=book, session=closed, say=say)


@click.command("power")
@click.option("--seeds", default=50, type=click.IntRange(1, 10_000), help="Of planted truth.")
@click.option("--first", default=0, type=click.IntRange(0, 2**31 - 1), help="The first seed.")
@click.option("--feed", "feeds", multiple=True, help="Plant into real bars too; repeatable.")
@click.option("--data", default="", type=click.Path(), help="Bars for --feed folder.")
@reported
def power_(seeds: int, first: int, feeds: tuple[str, ...], data: str) -> Any:
    """Measure what the gates' detectors catch of planted truth, and write the page."""
    from hybridnb.app.power import measure_power, read_power

    requests = [request_of(feed=feed, data=data if feed == "folder" else "") for feed in feeds]
    done = measure_power(requests, seeds=seeds, first=first, say=say)
    return passed(done, read_power(done), held=not done["missed"])


@click.command("gates")
@click.option("--model-id", default="", help="A model's version; the newest verdict's by default.")
@reported
def gates_(model_id: str) -> Any:
    """Show a model's newest verdict, figure by figure, and the presets. Exit 1 unless it holds."""
    from hybridnb.app.gates_command import gates_text, read_gates

    done = read_gates(model_id)
    return passed(done, gates_text(done), held=done["valid"])


COMMANDS = (lookahead, compare, counterfactuals_, power_, gates_)
