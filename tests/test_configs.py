"""Configs that the repository ships."""

from pathlib import Path

import pytest

from mint_ray.pipeline.check import load_run

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize(
    "file", [f for f in CONFIGS if "cases:" in f.read_text()], ids=lambda f: f.stem
)
def test_a_shipped_config_is_valid(file: Path) -> None:
    assert load_run(file).cases.source
