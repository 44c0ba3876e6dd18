"""Runs with real papermill, real kernels and real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from hybridnb.app.parameters import checked
from hybridnb.app.runner import Job, Result, emit, run_job
from hybridnb.errors import InputError, Missing, ParamsError, Refused, UsageError

PARAMETERS = 'name: str = "x"\ncount: int = 1\nrate: float = 0.5\nloud: bool = False'
Make = Callable[..., Job]


def notebook(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "hybridnb", "display_name": "h", "language": "python"}}
    )
    tagged = nbformat.v4.new_code_cell(parameters, id="parameters")
    tagged.metadata["tags"] = ["parameters"]
    code = [nbformat.v4.new_code_cell(text, id=f"cell-{i}") for i, text in enumerate(cells)]
    made.cells = [tagged, *code]
    nbformat.write(made, path)
    return path


@pytest.fixture
def job(tmp_path: Path) -> Make:
    def make(*cells: str, wall: float = 60.0, cell: int = 30, **parameters: Any) -> Job:
        path = notebook(tmp_path / "small.ipynb", *cells)
        return Job(path, "small", parameters, tmp_path / "out", wall, cell, "A small one")

    return make


def run(job: Job) -> tuple[Result, list[str]]:
    said: list[str] = []
    return run_job(job, say=said.append), said


def record(result: Result) -> dict[str, Any]:
    found = json.loads((result.notebook.parent / "run.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def statuses(result: Result) -> dict[str, str]:
    cells = nbformat.read(result.notebook, as_version=4).cells
    return {c.id: c.metadata.hybridnb.status for c in cells if "hybridnb" in c.metadata}


def gone(pid: int) -> bool:
    """Whether a process ends within ten seconds (a zombie has ended)."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2][1] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_success_hands_on_results_and_is_never_run_again(job: Make, tmp_path: Path) -> None:
    text = "quote \" ' back\\slash\nline {x} é 漢 🦊"
    back = "{'name': name, 'count': count, 'rate': rate, 'missing': float('nan')}"
    where = "[os.getcwd(), os.environ['HYBRIDNB_HOME']]"
    cells = (
        "# greet\nimport os\nfrom hybridnb.app.runner import emit",
        f"emit('back', {back})\nemit('where', {where})\nopen('left.txt', 'w').write('x')",
        "print('said', count)",
    )
    asked = job(*cells, name=text, count=-3, rate=2)
    result, said = run(asked)
    assert result.status == "completed" and result.error is None and not result.reused
    want = {"name": text, "count": -3, "rate": 2.0, "missing": None}
    assert result.exports["back"] == want
    folder, home = result.exports["where"]
    assert not Path(folder).exists() and home == os.environ["HYBRIDNB_HOME"]
    assert [line for line in said if "said -3" in line]
    assert any(line.startswith("  cell 3 of 5, cell-0 (greet): ") for line in said)
    assert sum(line.startswith("  cell") for line in said) == 5
    assert {p.name for p in asked.out.iterdir()} == {"index.html", "notebook.ipynb", "run.json"}

    kept = {p.name: p.read_bytes() for p in asked.out.iterdir()}
    again, said = run(asked)
    assert again.reused and said == [] and again.exports == result.exports
    assert again.key == result.key
    assert {p.name: p.read_bytes() for p in asked.out.iterdir()} == kept

    with pytest.raises(Refused):
        run(job(*cells, name=text, count=4))
    assert {p.name: p.read_bytes() for p in asked.out.iterdir()} == kept

    second = Job(
        asked.notebook, "small", asked.parameters, tmp_path / "other", 60.0, 30, "A small one"
    )
    first = record(result)
    assert first.pop("runtime").keys() == {"seconds"}
    # All but the two folders that the notebook itself reports, which differ from run to run.
    other = record(run(second)[0])
    for found in (first, other):
        found.pop("runtime", None), found["exports"].pop("where"), found.pop("results_sha256")
    assert other == first
    assert (second.out / "notebook.ipynb").read_bytes() == kept["notebook.ipynb"]
    assert (second.out / "index.html").read_bytes() == kept["index.html"]


def test_a_raising_cell_fails_and_may_be_mended(job: Make) -> None:
    result, _ = run(job("kept = 1", "raise ValueError('no such bar')", "print('never')"))
    assert result.status == "failed" and result.error is not None
    assert (result.error.ename, result.error.evalue) == ("ValueError", "no such bar")
    assert result.error.cell == "cell-1"
    assert statuses(result) == {
        "parameters": "completed",
        "cell-0": "completed",
        "cell-1": "failed",
        "cell-2": "not run",
    }
    first = nbformat.read(result.notebook, as_version=4).cells[0]
    assert first.id == "banner" and "no such bar" in first.source
    assert "no such bar" in result.html.read_text(encoding="utf-8")
    assert record(result)["status"] == "failed"
    mended, _ = run(job("kept = 1"))
    assert mended.status == "completed" and record(mended)["status"] == "completed"


def test_one_of_our_errors_keeps_its_name(job: Make) -> None:
    result, _ = run(job("from hybridnb.errors import Refused\nraise Refused('another book')"))
    assert result.error is not None and result.error.ename == "Refused"


def test_a_killed_kernel_is_no_success(job: Make) -> None:
    result, _ = run(job("import os\nos.kill(os.getpid(), 9)", "print('never')"))
    assert result.status == "killed" and result.error is not None
    assert (result.error.ename, result.error.cell) == ("KernelDied", "cell-0")
    assert statuses(result)["cell-0"] == "killed" and statuses(result)["cell-1"] == "not run"
    text = result.notebook.read_text(encoding="utf-8")
    assert '"papermill"' not in text
    assert "KernelDied" in result.html.read_text(encoding="utf-8")


def test_a_killed_process_is_no_success(job: Make) -> None:
    result, _ = run(job("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(30)"))
    assert result.status == "killed" and result.error is not None
    assert "SIGKILL" in result.error.evalue


def test_a_slow_cell_times_out(job: Make) -> None:
    result, _ = run(job("import time\ntime.sleep(30)", cell=1))
    assert result.status == "timed_out" and result.error is not None
    assert (result.error.ename, result.error.cell) == ("CellTimeout", "cell-0")
    assert statuses(result)["cell-0"] == "timed_out"


def test_a_slow_run_times_out_and_leaves_no_kernel(job: Make, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    stubborn = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stubborn += f"open({str(mark)!r}, 'w').write(str(os.getpid()))\nwhile True: pass"
    result, _ = run(job(stubborn, wall=15.0))
    assert result.status == "timed_out" and result.error is not None
    assert result.error.ename == "WallTimeout"
    assert gone(int(mark.read_text(encoding="ascii")))


def test_a_slow_run_leaves_nothing_that_its_notebook_started(job: Make, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    brood = "import subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\n"
    brood += f"open({str(mark)!r}, 'w').write(str(child.pid))\ntime.sleep(600)"
    result, _ = run(job(brood, wall=15.0))
    assert result.status == "timed_out"
    assert gone(int(mark.read_text(encoding="ascii")))


def test_a_run_that_holds_too_much_is_ended_and_told_as_it_was(job: Make, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    hungry = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\n"
    hungry += "held = [b'x' * 50_000_000 for _ in range(40)]\ntime.sleep(60)"
    result, _ = run(replace(job("kept = 1", hungry, "print('never')"), memory=700))
    assert result.status == "out_of_memory" and result.error is not None
    assert (result.error.ename, result.error.cell) == ("OutOfMemory", "cell-1")
    assert "more than its 700 MiB" in result.error.evalue
    assert statuses(result)["cell-1"] == "out_of_memory"
    assert statuses(result)["cell-0"] == "completed" and statuses(result)["cell-2"] == "not run"
    assert record(result)["status"] == "out_of_memory"
    assert "This run ran out of memory in cell cell-1." in result.html.read_text(encoding="utf-8")
    assert gone(int(mark.read_text(encoding="ascii")))


def test_a_process_left_behind_does_not_hold_the_run(job: Make) -> None:
    left = "import subprocess\nsubprocess.Popen(['sleep', '20'], start_new_session=True)"
    start = time.perf_counter()
    assert run(job(left))[0].status == "completed"
    assert time.perf_counter() - start < 18.0


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no signal for it")
def test_killing_the_parent_ends_the_run_and_its_kernel(job: Make, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    asked = job(
        f"import os, time\nopen({str(mark)!r}, 'w').write(f'{{os.getppid()}} {{os.getpid()}}')\n"
        "time.sleep(60)"
    )
    program = (
        "from pathlib import Path\nfrom hybridnb.app.runner import Job, run_job\n"
        f"run_job(Job(Path({str(asked.notebook)!r}), 'small', {{}}, Path({str(asked.out)!r}),"
        " 60.0, 60, 't'), say=print)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    for _ in range(300):
        if mark.is_file() and mark.read_text(encoding="ascii").count(" "):
            break
        time.sleep(0.1)
    child, kernel = map(int, mark.read_text(encoding="ascii").split())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(child) and gone(kernel)
    assert not asked.out.exists()


def test_huge_output_is_cut_and_said(job: Make) -> None:
    result, said = run(
        job(
            "for _ in range(200): print('x' * 9_999)",
            "from IPython.display import HTML, display\ndisplay(HTML('<p>' + 'y' * 3_000_000))",
            "print('after')",
        )
    )
    assert result.status == "completed"
    cells = {c.id: c for c in nbformat.read(result.notebook, as_version=4).cells}
    kept = "".join(o.text for o in cells["cell-0"].outputs)
    assert 250_000 < len(kept) < 270_000 and "[cut:" in kept
    assert "[cut:" in cells["cell-1"].outputs[0].data["text/plain"]
    assert cells["cell-2"].outputs[0].text == "after\n"
    assert result.html.stat().st_size <= 1_000_000
    assert max(map(len, said)) < 600


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"count": 1.5}, "count"),
        ({"count": True}, "count"),
        ({"count": "3"}, "count"),
        ({"name": 3}, "name"),
        ({"name": None}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"loud": 1}, "loud"),
        ({"rate": True}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 10**400}, "rate"),
        ({"api_key": "s3cret"}, "api_key"),
        ({"password": "s3cret"}, "password"),
        ({"TOKEN": "s3cret"}, "TOKEN"),
        ({"client_secret": "s3cret"}, "client_secret"),
    ],
)
def test_wrong_parameters_run_nothing(job: Make, given: dict[str, Any], key: str) -> None:
    asked = job("x = 1", **given)
    with pytest.raises(ParamsError) as caught:
        run(asked)
    assert caught.value.key == key and "s3cret" not in str(caught.value)
    assert not asked.out.exists()


def test_parameters_are_fitted_to_their_types(tmp_path: Path) -> None:
    import datetime as dt

    source = notebook(tmp_path / "n.ipynb").read_text(encoding="utf-8")
    found = checked(source, {"rate": 3, "name": dt.date(2020, 3, 12)}, file="n")
    assert found == {"name": "2020-03-12", "rate": 3.0} and type(found["rate"]) is float
    assert list(found) == ["name", "rate"]
    assert checked(source, {}, file="n") == {}
    untyped = notebook(tmp_path / "u.ipynb", parameters="a = 1").read_text(encoding="utf-8")
    with pytest.raises(ParamsError):
        checked(untyped, {"a": 2}, file="u")
    for declared in ('api_token: str = ""', "names: list = []"):
        other = notebook(tmp_path / "o.ipynb", parameters=declared).read_text(encoding="utf-8")
        with pytest.raises(ParamsError):
            checked(other, {}, file="o")


def test_what_is_no_notebook_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", '{"cells": 3}', '{"cells": ["x"]}', "not json"):
        with pytest.raises(InputError):
            checked(text, {}, file="n.ipynb")
    absent = Job(tmp_path / "absent.ipynb", "a", {}, tmp_path / "out", 9.0, 9, "t")
    with pytest.raises(Missing):
        run(absent)


def test_emit_leaves_a_result_only_inside_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYBRIDNB_OUT", raising=False)
    emit("nothing", 1)
    monkeypatch.setenv("HYBRIDNB_OUT", str(tmp_path))
    emit("some", {"b": (1, 2), "a": float("nan")})
    text = (tmp_path / "some.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, 2], "a": None}
    with pytest.raises(UsageError):
        emit("../outside", 1)
    with pytest.raises(ValueError, match="infinity"):
        emit("much", float("inf"))
    assert [p.name for p in tmp_path.iterdir()] == ["some.json"]
