import numpy as np
import pytest

from mint_ray.tuning.search import Tried, fits, grid_size, propose
from tests.tuning.campaigns import config


def tried(number: int, seed: int = 0, **tune: object) -> list[Tried]:
    """As many proposals in a row, each finished with a value that prefers a λ of 0.3."""
    settings = config(**tune).tune
    found: list[Tried] = []
    while len(found) < number:
        choices = propose(settings, seed, found)
        if choices is None:
            break
        value = -abs(float(np.log10(float(choices["training.orpo_lambda"]) / 0.3)))
        found.append(Tried(choices, "finished", value, {3: value}))
    return found


@pytest.mark.parametrize("algorithm", ["optuna", "random"])
def test_proposals_are_in_the_space_distinct_and_the_same_again(algorithm: str) -> None:
    first = tried(10, algorithm=algorithm)
    assert all(fits(config().tune.space, trial.choices) for trial in first)
    assert len({tuple(trial.choices.values()) for trial in first}) == 10
    assert tried(10, algorithm=algorithm) == first
    assert tried(3, seed=1, algorithm=algorithm) != first[:3]


def test_tpe_learns_where_the_good_values_are() -> None:
    def distance(algorithm: str) -> float:
        runs = [tried(14, seed, algorithm=algorithm)[6:] for seed in range(2)]
        return float(np.mean([-(trial.value or 0.0) for run in runs for trial in run]))

    assert distance("optuna") < 0.8 * distance("random")


def test_a_grid_is_walked_whole_and_once() -> None:
    ranks = {"kind": "choice", "values": [4, 8]}
    space = {
        "training.orpo_lambda": {"kind": "loguniform", "low": 0.01, "high": 1.0},
        "student.lora_rank": ranks,
    }
    found = [trial.choices for trial in tried(99, algorithm="grid", space=space, trials=None)]
    lambdas = [choices["training.orpo_lambda"] for choices in found]
    assert lambdas == pytest.approx([0.01, 0.01, 0.1, 0.1, 1.0, 1.0])
    assert [choices["student.lora_rank"] for choices in found] == [4, 8] * 3


def test_a_finite_space_is_exhausted() -> None:
    space = {
        "training.orpo_lambda": {"kind": "choice", "values": [0.1, 0.3]},
        "student.lora_rank": {"kind": "int", "low": 4, "high": 5},
    }
    assert grid_size(config(space=space).tune.space) == 4
    found = tried(99, algorithm="random", space=space)
    assert len({tuple(trial.choices.values()) for trial in found}) == len(found) == 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_trial_of_a_finite_space_is_spent_on_what_is_known(seed: int) -> None:
    """TPE, which has found the best values, would draw them again and again."""
    space = {
        "training.orpo_lambda": {"kind": "choice", "values": [0.1, 0.3, 1.0]},
        "student.lora_rank": {"kind": "choice", "values": [4, 8, 16, 32]},
    }
    found = tried(12, seed, space=space, trials=12)
    assert len({tuple(trial.choices.values()) for trial in found}) == 12


@pytest.mark.parametrize("algorithm", ["optuna", "grid"])
def test_what_no_run_could_have_is_not_proposed(algorithm: str) -> None:
    batch = {"training.batch_size": {"kind": "int", "low": 4, "high": 9, "grid": 6}}
    settings = config(space=batch, algorithm=algorithm, trials=99).tune
    found: list[Tried] = []
    while (
        made := propose(settings, 0, found, lambda c: c["training.batch_size"] != 7)
    ) is not None:
        found.append(Tried(made, "finished", 0.5, {3: 0.5}))
    assert sorted(trial.choices["training.batch_size"] for trial in found) == [4, 5, 6, 8, 9]


@pytest.mark.parametrize("seed", range(6))
def test_few_legal_places_of_an_endless_space_are_found(seed: int) -> None:
    space = {
        "training.learning_rate": {"kind": "loguniform", "low": 1e-5, "high": 1e-2},
        "training.batch_size": {"kind": "logint", "low": 16, "high": 256},
    }
    settings = config(space=space, trials=12).tune
    found: list[Tried] = []
    for number in range(12):
        made = propose(settings, seed, found, lambda c: int(c["training.batch_size"]) % 16 == 0)
        assert made is not None, number
        found.append(Tried(made, "finished", 0.5, {3: 0.5}))


def test_stopped_and_failed_trials_and_those_outside_the_space_do_no_harm() -> None:
    inside = {"training.orpo_lambda": 0.2, "student.lora_rank": 4}
    history = [
        Tried({"training.orpo_lambda": 5.0, "student.lora_rank": 4}, "finished", 0.4, {3: 0.1}),
        Tried(inside, "stopped", None, {3: 0.2}),
        Tried(inside | {"student.lora_rank": 8}, "failed", None, {}),
        Tried(inside | {"student.lora_rank": 16}, "running", None, {}),
    ]
    assert propose(config(startup_trials=1).tune, 0, history) is not None
