import math
from typing import Any

import pytest

from mint_ray.config.load import load_config, parse_config
from mint_ray.errors import ConfigError
from mint_ray.pipeline.check import check_config
from mint_ray.tuning.space import (
    PAIRS,
    is_legal,
    overrides_of,
    own_choices,
    pair_variants,
    pairs_input,
    remarks,
    with_overrides,
)
from tests.tuning.campaigns import config

RANK = {"student.lora_rank": {"kind": "choice", "values": [4, 64]}}


def space(**dimensions: Any) -> dict[str, Any]:
    """A config tree; `__` in a name stands for its dot."""
    return {"tune": {"space": {name.replace("__", "."): d for name, d in dimensions.items()}}}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (space(training__sauce={"kind": "choice", "values": [1]}), "known in training: objective"),
        (space(training__learning_rate={"kind": "uniform", "low": -1, "high": 1}), "value -1.0"),
        (space(student__lora_rank={"kind": "choice", "values": [4, 0]}), "value 0: Input should"),
        (space(training__nll_on={"kind": "choice", "values": ["all"]}), "'chosen' or 'prompt_and"),
        (space(training__objective={"kind": "choice", "values": ["ppo"]}), "'orpo', 'dpo'"),
        (space(training__orpo_lambda={"kind": "loguniform", "low": 0, "high": 1}), "low above 0"),
        (space(training__orpo_lambda={"kind": "uniform", "low": 1, "high": 1}), "low below high"),
        (space(training__batch_size={"kind": "int", "low": 1.5, "high": 4}), "whole ends"),
        (space(student__lora_rank={"kind": "choice", "values": [4, 4]}), "distinct values"),
        (space(student__lora_rank={"kind": "normal"}), "'choice'"),
        (space(preferences__q={"kind": "int", "low": 1, "high": 4}), "expected kind choice"),
        (space(evaluation__top_k={"kind": "choice", "values": [4]}), "cannot be searched"),
        (space(student__init_adapter={"kind": "choice", "values": ["x"]}), "cannot be searched"),
        (space(), "at least one setting"),
        ({"tune": {"trials": None}}, "tune.trials is empty"),
        ({"tune": {"metric": "mrr"}}, "validation/ and one of mrr"),
        ({"student": {"init_adapter": "x"}} | {"tune": {"space": RANK}}, "settings of its own"),
    ],
)
def test_a_bad_space_is_refused_with_field_value_and_what_is_allowed(
    tree: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(parse_config(tree))
    assert expected in str(caught.value)
    assert "tune" in str(caught.value)


def test_a_space_is_changed_on_the_command_line(tmp_path: Any) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "tune: {space: {training.orpo_lambda: {kind: uniform, low: 0.1, high: 1}}, trials: 4}"
    )
    changed = "tune.space.training.orpo_lambda={kind: choice, values: [0.1, 0.5]}"
    found = load_config(file, [changed, "trials=3"]).tune
    assert found.space["training.orpo_lambda"].levels == (0.1, 0.5)
    assert found.trials == 3


def test_the_scale_of_updates_follows_the_root_of_the_rank() -> None:
    made = config()
    own = made.student
    for rank in (4, own.lora_rank, 64):
        changed = overrides_of(made, {"student.lora_rank": rank})
        student = with_overrides(made, changed).student
        assert student.rslora
        scale = student.lora_alpha / math.sqrt(student.lora_rank)
        assert scale == pytest.approx(own.lora_alpha / own.lora_rank * math.sqrt(16 / rank))
    assert "rsLoRA" in remarks(made)[0]
    assert "may win by learning faster" in remarks(made)[1]


def test_a_rank_under_a_fixed_alpha_is_legal_but_said() -> None:
    made = config(scale_alpha=False)
    assert overrides_of(made, {"student.lora_rank": 4}) == {"student.lora_rank": 4}
    assert "fixed student.lora_alpha" in remarks(made)[0]


def test_values_that_are_legal_with_some_others() -> None:
    lengths = {
        "student.max_prompt_length": {"kind": "choice", "values": [200, 400]},
        "student.max_length": {"kind": "choice", "values": [300, 600]},
    }
    tree = {"student": {"max_prompt_length": 250, "max_length": 384}, "tune": {"space": lengths}}
    made = parse_config(tree)  # 400 fits neither 384 nor 300, but 600
    assert not is_legal(made, {"student.max_prompt_length": 400, "student.max_length": 300})
    assert is_legal(made, {"student.max_prompt_length": 400, "student.max_length": 600})
    lengths["student.max_length"]["values"] = [300, 390]
    with pytest.raises(ConfigError, match=r"max_prompt_length: value 400: .*no answer fits"):
        check_config(parse_config(tree))


def test_every_value_of_a_preference_setting_has_pairs_of_its_own() -> None:
    gold = {"kind": "choice", "values": ["keep", "first"]}
    tree = space(preferences__q={"kind": "choice", "values": [10, 5]}, preferences__gold=gold)
    made = parse_config(tree)
    variants = pair_variants(made)
    assert sorted(variants) == [
        "prefer preferences.gold=first",
        "prefer preferences.gold=first preferences.rejected_size=5",
        "prefer preferences.rejected_size=5",
    ]
    assert variants["prefer preferences.rejected_size=5"].preferences.rejected_size == 5
    assert pairs_input(made, own_choices(made)) == PAIRS
    assert (
        pairs_input(made, {"preferences.rejected_size": 5, "preferences.gold": "keep"}) in variants
    )
