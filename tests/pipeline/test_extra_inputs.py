"""Configs of compared systems: what a system may change, and what is refused before any work."""

import pytest

from mint_ray.config.config import Config
from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.pipeline.check import check_config
from mint_ray.pipeline.extra_inputs import (
    evaluations_of_systems,
    ranked_names,
    system_configs,
)


def compare(systems: dict[str, object], **settings: object) -> Config:
    return parse_config({"name": "toy", "compare": {"systems": systems, **settings}})


def test_a_system_is_the_config_with_its_overrides() -> None:
    systems = {
        "orpo": {},
        "sft_gold": {"overrides": {"training": {"objective": "sft", "sft_on": "answer"}}},
        "look_ups": {"overrides": {"evaluation.systems": ["majority", "teacher"]}},
    }
    made = compare(systems)
    configs = system_configs(made)
    own = Config()
    assert configs["orpo"].training == own.training
    assert configs["sft_gold"].training == own.training.model_copy(
        update={"objective": "sft", "sft_on": "answer"}
    )
    assert configs["orpo"].evaluation.systems == ("student",)
    assert configs["look_ups"].evaluation.systems == ("majority", "teacher")
    assert all(each.cases == own.cases for each in configs.values())
    assert all(not each.compare.systems for each in configs.values())
    assert configs["orpo"].name == "toy orpo"
    assert ranked_names("orpo", configs["orpo"]) == ["orpo"]
    assert ranked_names("look_ups", configs["look_ups"]) == ["majority", "teacher"]
    check_config(made)


def test_a_system_comes_after_the_one_that_it_starts_from() -> None:
    systems = {
        "rcft": {"start_from": "cft"},
        "cft": {"start_from": "orpo"},
        "orpo": {},
    }
    extras = evaluations_of_systems(compare(systems))
    assert [(name, extra.step, extra.start_from) for name, extra in extras.items()] == [
        ("evaluate orpo", "evaluate", None),
        ("evaluate cft", "evaluate", "evaluate orpo"),
        ("evaluate rcft", "evaluate", "evaluate cft"),
    ]


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        ({"orpo": {}, "dpo": {"start_from": "sft"}}, r"dpo\.start_from: expected one of orpo, dpo"),
        ({"a": {"start_from": "b"}, "b": {"start_from": "a"}}, r"circle a from b from a"),
        ({"orpo": {"start_from": "orpo"}}, r"circle orpo from orpo"),
        ({"ORPO": {}}, r"compare\.systems\.ORPO"),
        ({"orpo": {"overide": {}}}, r"known keys here: overrides, start_from"),
        ({"orpo": {"overrides": {"cases.path": "x"}}}, r"cases\.path is the same for all"),
        ({"orpo": {"overrides": {"training": 3}}}, r"training is the same for all"),
        ({"orpo": {"overrides": {"evaluation.max_cases": 3}}}, r"rank the same cases"),
        (
            {"sft": {}, "orpo": {"overrides": {"student.init_adapter": "x"}, "start_from": "sft"}},
            r"found both",
        ),
    ],
)
def test_systems_that_cannot_be_are_refused_by_the_config(
    systems: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(systems)


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        (
            {"orpo": {"overrides": {"training.rate": 1}}},
            r"systems\.orpo: not usable:\n +training\.rate: .*known keys here: objective",
        ),
        (
            {"orpo": {"overrides": {"training.epochs": 0}}},
            r"systems\.orpo: not usable:\n +training\.epochs: .*greater than or equal to 1 .*0",
        ),
        (
            {"orpo": {"overrides": {"training.epochs.more": 1}}},
            r"systems\.orpo: training\.epochs\.more: no such setting",
        ),
        (
            {"orpo": {"overrides": {"teacher.name": "oracle"}}},
            r"systems\.orpo: teacher\.name: expected one of",
        ),
        ({"orpo": {}, "orpo_stain": {}}, r"expected a name without _generated, _stain"),
        (
            {"base": {}, "orpo": {"overrides": {"evaluation.systems": ["base", "student"]}}},
            r"base and orpo both rank base",
        ),
        ({"dpo": {}, "sft": {}}, r"compare\.reference: expected one of dpo, sft \(found 'orpo'\)"),
    ],
)
def test_systems_that_do_not_fit_the_config_are_refused(
    systems: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(compare(systems))


def test_a_system_of_another_evaluation_may_be_the_reference() -> None:
    systems = {"dpo": {}, "look_ups": {"overrides": {"evaluation.systems": ["teacher"]}}}
    check_config(compare(systems, reference="teacher"))
