from pathlib import Path

import pytest

from mint_ray.tracking.records import (
    MAX_PARAM,
    artifact_record,
    clean_key,
    flatten,
    metrics_records,
    params_records,
    tags_records,
)


def test_nested_settings_get_dotted_names() -> None:
    tree = {"seed": 0, "training": {"lora": {"rank": 16}, "targets": ("q", "v")}}
    assert flatten(tree) == {"seed": 0, "training.lora.rank": 16, "training.targets": ("q", "v")}


def test_long_values_are_cut_to_the_limit() -> None:
    value = params_records({"a": "x" * 7000})[0]["values"]["a"]
    assert len(value) == MAX_PARAM
    assert value.endswith("x…")


def test_keys_that_mlflow_refuses_are_mended() -> None:
    assert clean_key("loss (λ=0.1)") == "loss _λ_0.1_"
    assert len(clean_key("k" * 300)) == 250


def test_many_settings_go_in_several_records() -> None:
    records = params_records({f"k{i}": i for i in range(250)})
    assert [len(record["values"]) for record in records] == [100, 100, 50]
    assert tags_records({}) == []


def test_metrics_are_numbers_or_left_out() -> None:
    record = metrics_records({"loss": 1, "margin": None, "ok": True}, step=7)[0]
    assert record["values"] == {"loss": 1.0, "ok": 1.0}
    assert record["step"] == 7
    with pytest.raises(TypeError, match="metric note must be a number, found str"):
        metrics_records({"note": "1.0"}, step=0)


def test_artifact_paths_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert artifact_record(Path("a.json"))["path"] == str(tmp_path / "a.json")
