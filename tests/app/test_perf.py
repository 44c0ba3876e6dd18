"""The quick measurement: real calls, percentiles only where the calls are enough for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hybridnb.app import perf
from hybridnb.app.cli import cli
from hybridnb.app.perf import benchmarks, measure, perf_text
from hybridnb.errors import InputError


def test_every_part_is_timed_and_what_is_too_few_isnt_known() -> None:
    done = measure(times={"decision": 150, "order": 150, "commit": 5})
    for part, calls in (("decision", 150), ("order", 150), ("commit", 5)):
        found = done["measured"][part]
        assert found["calls"] == calls and found["ms"]["p50"] > 0.0
        assert found["ms"]["p99.9"] is None, "a thousand calls are needed"
        assert (found["ms"]["p99"] is None) is (calls < 100)
    assert done["measured"]["order"]["ms"]["p99"] >= done["measured"]["order"]["ms"]["p50"]
    assert done["bars_ms"] == {"decision": 10.0, "order": 100.0}
    text = perf_text(done)
    assert "unknown" in text and "bar 10 ms" in text
    json.dumps(done, allow_nan=False)


def test_recorded_benchmarks_are_this_products_own() -> None:
    found = benchmarks()
    assert found and all(row["engine"].startswith("hybridnb") for row in found)


def test_a_file_that_cant_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "checkout", lambda: tmp_path)
    assert benchmarks() == []
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "results.json").write_text('[{"engine": "hybridnb"}]', "utf-8")
    with pytest.raises(InputError, match=r"results\.json"):
        benchmarks()


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete"), ("zsh", "compdef")])
def test_completion_prints_a_script_for_the_shell(shell: str, words: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell, "--json"])
    assert done.exit_code == 0
    script = json.loads(done.stdout)["script"]
    assert words in script and "_HYBRIDNB_COMPLETE" in script
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
