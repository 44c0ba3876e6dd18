"""`params/`: a wrong key or value is named with what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridnb.app.home import shipped
from hybridnb.app.settings import settings
from hybridnb.errors import Missing, ParamsError


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yml").write_text(text, encoding="utf-8")
    return tmp_path


def test_shipped_params_are_valid_and_have_the_two_profiles() -> None:
    found = settings(shipped("params"))
    assert set(found.profiles.profiles) >= {"quick", "full"}
    assert found.learning("quick") != found.learning("full")


@pytest.mark.parametrize(
    ("file", "text", "key", "allowed"),
    [
        ("policy", "blend: {wieght_short: 0.4}", "blend.wieght_short", "weight_short"),
        ("policy", "clamps: {bucket_core: 1.5}", "clamps.bucket_core", "less than or equal to 1"),
        ("policy", "risk: {kill_day_pnl: 0.1}", "risk.kill_day_pnl", "less than 0"),
        ("policy", "sizing: {payoff: .nan}", "sizing.payoff", "finite"),
        ("policy", "sizing: {payoff: .inf}", "sizing.payoff", "finite"),
        ("policy", "mode: YOLO", "mode", "LIVE_MICRO"),
        ("day", "seed: -1", "seed", "greater than or equal to 0"),
        ("day", "feeed: sample", "feeed", "feed"),
        ("day", "holdout: 1.0", "holdout", "less than 1"),
        ("learning", "quick: {shrot: {}}", "shrot", "short"),
        ("symbols", "ABC: {bukcet: core}", "bukcet", "bucket"),
        ("day", "- a\n- list", "DayParams", "dictionary"),
        ("policy", "a: [", "the file", "YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named(
    tmp_path: Path, file: str, text: str, key: str, allowed: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        settings(folder(tmp_path, **{file: text}))
    error = caught.value
    assert error.exit_code == 2
    assert key in error.key
    assert allowed in error.allowed
    assert error.file == f"{file}.yml"
    assert error.remedy


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "day.yml").write_bytes(b"\xff\xfe\x00seed")
    with pytest.raises(ParamsError, match=r"day\.yml"):
        settings(tmp_path)


def test_an_absent_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        settings(tmp_path / "nowhere")


def test_an_unknown_profile_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="full, quick"):
        settings(shipped("params")).learning("fastest")


def test_inputs_change_with_what_makes_runs_differ() -> None:
    found = settings(shipped("params"))
    one, other = found.inputs("quick", 7), found.inputs("full", 8)
    assert {k for k in one if one[k] != other[k]} == {"learning", "seed"}
