"""Configs of compared systems: what a system may change, and what is refused before any work."""

from typing import Any

import pytest

from mint_ray.config.config import Config
from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.pipeline.check import check_config
from mint_ray.pipeline.extra_inputs import (
    answers_of_systems,
    required_answers,
    shown_names,
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
    check_config(made)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["student"], {"student": "tried"}),
        (["teacher"], {"teacher": "tried"}),
        (["base", "student"], {"base": "base", "student": "tried"}),
    ],
)
def test_a_student_and_a_single_system_have_the_name_in_the_config(
    words: list[str], shown: dict[str, str]
) -> None:
    made = parse_config({"evaluation": {"systems": words}})
    assert shown_names("tried", made) == shown


def test_a_system_knows_the_trainings_that_it_starts_from() -> None:
    systems = {"rcft": {"start_from": "cft"}, "cft": {"start_from": "orpo"}, "orpo": {}}
    extras = answers_of_systems(compare(systems))
    assert list(extras) == ["evaluate rcft", "evaluate cft", "evaluate orpo"]
    chain, extra = [], extras["evaluate rcft"]
    while extra is not None:
        chain.append((extra.step, extra.config.name))
        extra = extra.start
    assert chain == [("evaluate", "toy rcft"), ("train", "toy cft"), ("train", "toy orpo")]


def test_a_system_that_others_only_start_from_is_not_evaluated() -> None:
    systems = {"orpo": {"start_from": "half"}, "half": {"compared": False}}
    made = compare(systems)
    assert list(answers_of_systems(made)) == ["evaluate orpo"]
    check_config(made)
    with pytest.raises(ConfigError, match=r"expected one of orpo \(found 'half'\)"):
        check_config(compare(systems, reference="half"))


def test_a_comparison_needs_a_system() -> None:
    assert answers_of_systems(compare({})) == {}
    with pytest.raises(ConfigError, match="expected at least one system, found none"):
        required_answers(compare({}))


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        ({"orpo": {}, "dpo": {"start_from": "sft"}}, r"dpo\.start_from: expected one of orpo, dpo"),
        ({"a": {"start_from": "b"}, "b": {"start_from": "a"}}, r"circle a from b from a"),
        ({"orpo": {"start_from": "orpo"}}, r"circle orpo from orpo"),
        ({"ORPO": {}}, r"compare\.systems\.ORPO"),
        ({"orpo": {"overide": {}}}, r"known keys here: overrides, start_from, compared"),
        ({"orpo": {"overrides": {"cases.path": "x"}}}, r"cases\.path is the same for all"),
        ({"orpo": {"overrides": {"training": 3}}}, r"training is the same for all"),
        ({"orpo": {"overrides": {"evaluation.max_cases": 3}}}, r"rank the same cases"),
        ({"orpo": {"overrides": {"student.init_adapter": "x"}}}, r"expected start_from instead"),
        ({"orpo": {"overrides": {"reasoning.note": "noisy"}}}, r"reasoning\.note .* is asked"),
        (
            {"rag": {"overrides": {"reasoning.protocol": "rag", "training.epochs": 2}}},
            r"training\.epochs is of a system that is trained: expected either reasoning\.protocol",
        ),
        (
            {"rag": {"overrides": {"reasoning.protocol": "rag"}, "start_from": "orpo"}, "orpo": {}},
            r"systems\.rag: .*expected neither start_from nor compared",
        ),
        (
            {"orpo": {"start_from": "rag"}, "rag": {"overrides": {"reasoning.protocol": "rag"}}},
            r"orpo\.start_from: expected a system with a training, found rag",
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


def test_a_system_with_a_protocol_is_asked_and_not_trained() -> None:
    overrides = {"reasoning": {"protocol": "cot_rag", "note": "noisy"}, "retrieval.documents": 2}
    made = compare({"orpo": {}, "noisy": {"overrides": overrides}})
    check_config(made)
    extra = answers_of_systems(made)["reason noisy"]
    assert (extra.step, extra.start) == ("reason", None)
    assert (extra.config.reasoning.protocol, extra.config.reasoning.note) == ("cot_rag", "noisy")
    assert extra.config.retrieval.documents == 2
    assert list(answers_of_systems(made)) == ["evaluate orpo", "reason noisy"]
    assert shown_names("noisy", extra.config, asked=True) == {"cot_rag": "noisy"}
    images = {"task": "tissue", "cases": {"source": "tiles", "path": "x"}}
    tree = {"compare": {"systems": {"noisy": {"overrides": overrides}}}, **images}
    of_images = parse_config(tree)
    with pytest.raises(ConfigError, match=r"systems\.noisy: expected no reasoning\.protocol"):
        system_configs(of_images)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["orpo", "sft", "dpo", "base"], r"order: expected some of orpo, sft, dpo \(found base\)"),
        (["orpo", "sft", "dpo", "orpo"], r"order: .*expected four different systems, found orpo"),
        (["orpo", "sft"], r"contrasts\.order"),
        ({"orpo": 1, "base": -1}, r"order: expected some of orpo, sft, dpo \(found base\)"),
        ({"orpo": 1, "sft": -0.5}, r"order: .* sum to 0; found \{'orpo': 1"),
        ({"orpo": 1, "sft": -1, "dpo": 0}, r"order: .* not 0"),
        ({"orpo": 0}, r"order: .*expected two systems or more"),
    ],
)
def test_a_contrast_balances_compared_systems(weights: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(compare({"orpo": {}, "sft": {}, "dpo": {}}, contrasts={"order": weights}))


def test_a_list_of_four_is_a_crossover() -> None:
    four = {name: {} for name in ("a", "b", "c", "d")}
    config = compare(four, contrasts={"order": list(four)}, reference="a")
    assert config.compare.contrasts["order"] == {"a": 1, "b": -1, "c": -1, "d": 1}


def test_a_system_of_another_evaluation_may_be_the_reference() -> None:
    look_ups = {"overrides": {"evaluation.systems": ["base", "teacher"]}}
    check_config(compare({"dpo": {}, "look_ups": look_ups}, reference="teacher"))
