"""Settings under their former names: read with a warning, hashed as before."""

import logging
from pathlib import Path

import pytest

from mint_ray.config.config import Config
from mint_ray.config.former_names import FORMER_NAMES, under_former_names
from mint_ray.config.load import load_config, parse_config
from mint_ray.errors import ConfigError
from mint_ray.pipeline.graph import plan


def test_a_former_name_is_read_and_the_new_one_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "preferences: {k: 3, windows: 2}\n"
        "serving: {text: {student: x, also: {second: y}}}\n"
        "tune: {space: {preferences: {q: {kind: choice, values: [1, 2]}}}}\n",
        encoding="utf-8",
    )
    with caplog.at_level(logging.WARNING):
        config = load_config(file)
    assert (config.preferences.chosen_size, config.preferences.rejected_sets) == (3, 2)
    assert config.serving.text is not None
    assert config.serving.text.more_models == {"second": "y"}
    assert list(config.tune.space) == ["preferences.rejected_size"]
    for former in ("preferences.k", "preferences.windows", "serving.text.also"):
        assert f"{former} is now called {FORMER_NAMES[former]}" in caplog.text


def test_a_setting_can_move_to_another_section(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        config = parse_config({"cases": {"images": {"min_label_groups": 3}}})
    assert config.cases.min_label_groups == 3
    assert "images.min_label_groups is now called cases.min_label_groups" in caplog.text
    tree = under_former_names(config.model_dump(mode="json"))["cases"]
    assert tree["images"]["min_label_groups"] == 3
    assert "min_label_groups" not in tree


@pytest.mark.parametrize("override", ["k=7", "preferences.k=7", "chosen_size=7"])
@pytest.mark.parametrize("written", ["k", "chosen_size"])
def test_an_override_wins_under_either_name(tmp_path: Path, override: str, written: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"preferences: {{{written}: 3}}\n", encoding="utf-8")
    assert load_config(file, [override]).preferences.chosen_size == 7


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"preferences\.k is the former name of"):
        parse_config({"preferences": {"k": 3, "chosen_size": 3}})


def test_steps_are_hashed_by_the_former_names(tmp_path: Path) -> None:
    space = {"preferences.rejected_size": {"kind": "choice", "values": [1, 2]}}
    config = parse_config({"store": str(tmp_path), "tune": {"space": space}})
    tree = under_former_names(config.model_dump(mode="json"))
    assert {"k", "q", "windows"} <= set(tree["preferences"])
    assert list(tree["tune"]["space"]) == ["preferences.q"]
    # A key that moves makes finished steps run again: only with a change of what a step writes.
    cases = {"source": "pannuke", "path": str(tmp_path)}
    unchanged = parse_config({"store": str(tmp_path), "task": "tissue", "cases": cases})
    assert plan(unchanged)["prefer"].key == "d102379d"


def test_newer_settings_are_hashed_only_where_they_are_used(tmp_path: Path) -> None:
    before = plan(Config(store=str(tmp_path)))
    same = parse_config({"store": str(tmp_path), "cases": {"note_columns": {"note": "auto"}}})
    other = parse_config({"store": str(tmp_path), "cases": {"without_publication": "test"}})
    assert plan(same)["cases"].key == before["cases"].key
    assert plan(other)["cases"].key != before["cases"].key
