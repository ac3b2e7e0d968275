"""A campaign's course, and that it is the same however often it is cut off."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from mint_ray.config.load import parse_config
from mint_ray.tuning.campaign import Campaign
from mint_ray.tuning.trials import FAILURE, RUNGS, read_trials
from tests.tuning.campaigns import STEPS, Clock, Killed, config, finish, reach, run


def campaign(
    output: Path, said: list[str] | None = None, clock: Clock | None = None, **tune: object
) -> Campaign:
    lines: list[str] = [] if said is None else said
    return Campaign(config(**tune), output, lines.append, clock=clock or Clock())


def course(output: Path) -> list[object]:
    return [
        (trial.number, dict(trial.choices), trial.state, trial.judged, len(trial.rungs()))
        for trial in read_trials(output)
    ]


def test_the_default_runs_to_its_end_and_losers_are_stopped(tmp_path: Path) -> None:
    said: list[str] = []
    made = campaign(tmp_path, said, trials=12, startup_trials=6, reduction_factor=4)
    run(made)
    trials = read_trials(tmp_path)
    assert len(trials) == made.total == 12
    own = config()
    assert dict(trials[0].choices) == {
        "training.orpo_lambda": own.training.orpo_lambda,
        "student.lora_rank": own.student.lora_rank,
    }
    assert trials[0].state == "finished"
    assert not trials[0].overrides
    assert {trial.state for trial in trials} == {"finished", "stopped"}
    assert sum(trial.state == "stopped" for trial in trials) >= 12 / 3
    assert sum(trial.spent() for trial in trials) < 12 * STEPS / 2
    assert made.is_complete()
    best = made.best()
    assert best is not None
    assert best.rungs()[-1]["validation/mrr"] == max(
        trial.rungs()[-1]["validation/mrr"] for trial in trials if trial.state == "finished"
    )
    assert any(line.startswith("[ASHA] STOP: trial") and "may go on" in line for line in said)


@pytest.mark.parametrize("rungs", [0, 1, 3, 8])
def test_a_campaign_that_is_killed_at_any_rung_takes_the_same_course(
    tmp_path: Path, rungs: int
) -> None:
    run(campaign(tmp_path / "whole"))
    cut = tmp_path / "cut"
    for _ in range(2):
        with suppress(Killed):
            run(campaign(cut), lambda done: done == rungs)
    said: list[str] = []
    run(campaign(cut, said))
    assert course(cut) == course(tmp_path / "whole")
    assert campaign(cut).is_complete()


def test_a_trial_that_ended_unheard_is_finished(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    trial = made.next_trial()
    assert trial is not None
    reach(trial, STEPS)
    finish(trial)
    again = campaign(tmp_path)
    assert again.trials[0].state == "finished"
    following = again.next_trial()
    assert following is not None
    assert following.number == 1


def test_half_a_line_of_a_lost_worker_is_passed_over(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    trial = made.next_trial()
    assert trial is not None
    reach(trial, 3)
    with (trial.folder / RUNGS).open("a") as stream:
        stream.write('{"step": 9, "st')
    assert [row["step"] for row in trial.rungs()] == [3]


def test_time_is_counted_over_restarts_and_ends_the_campaign(tmp_path: Path) -> None:
    clock, said = Clock(), []
    made = campaign(tmp_path, said, clock, time_budget_minutes=2)
    first, second = made.next_trial(), made.next_trial()
    assert first is not None
    assert second is not None
    clock.now += 90
    made.on_report(0)
    made.on_interrupt()
    clock.now += 10_000  # nobody at work
    again = campaign(tmp_path, said, clock, time_budget_minutes=2)
    assert again.trials[0].seconds == pytest.approx(90)
    assert again.next_trial() is not None
    assert again.next_trial() is not None
    clock.now += 40
    assert again.next_trial() is None
    for trial in (first, second):
        reach(trial, 3)
    assert not again.on_report(0)  # the config's own goes on
    assert again.on_report(1)
    reach(first, STEPS)
    finish(first)
    again.on_trial_end(0)
    assert [trial.state for trial in again.trials] == ["finished", "stopped"]
    assert again.is_complete()
    assert again.trials[0].seconds == pytest.approx(130)
    assert sum("minutes are spent" in line for line in said) == 1


def test_a_lost_driver_costs_no_time_beyond_the_last_step(tmp_path: Path) -> None:
    import os

    clock = Clock()
    trial = campaign(tmp_path, clock=clock).next_trial()
    assert trial is not None
    reach(trial, 3)
    os.utime(trial.folder / "metrics.jsonl", (clock.now + 50, clock.now + 50))
    clock.now += 10_000
    assert campaign(tmp_path, clock=clock).trials[0].seconds == pytest.approx(50)


def test_failures_are_counted_and_end_the_campaign_at_some_point(tmp_path: Path) -> None:
    made = campaign(tmp_path, max_trial_failures=1)
    run_one = made.next_trial()
    assert run_one is not None
    reach(run_one, STEPS)
    finish(run_one)
    made.on_trial_end(0)
    for _ in range(2):
        trial = made.next_trial()
        assert trial is not None
        failure = {"kind": "TrainingError", "message": "step 2: expected a finite loss"}
        (trial.folder / FAILURE).write_text(json.dumps(failure))
        made.on_trial_end(trial.number)
    assert "more than tune.max_trial_failures=1" in made.gave_up
    assert made.next_trial() is None
    again = campaign(tmp_path, max_trial_failures=1)  # whatever it was may be gone
    assert [trial.state for trial in again.trials] == ["finished", "running", "running"]
    retried = again.next_trial()
    assert retried is not None
    assert (retried.number, retried.attempts) == (1, 2)


def test_the_configs_own_configuration_must_not_fail(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    made.next_trial()
    made.on_trial_end(0, error="its process was lost")
    assert "trial 0) failed" in made.gave_up


def test_a_metric_that_is_no_number_is_the_worst(tmp_path: Path) -> None:
    made = campaign(tmp_path, metric="validation/nll")
    for _ in range(2):
        made.next_trial()
    reach(made.trials[0], 3)
    reach(made.trials[1], 3, **{"validation/nll": float("nan")})
    made.on_report(0)
    assert made.on_report(1)


def test_an_illegal_combination_costs_no_trial(tmp_path: Path) -> None:
    """Two workers of one case each cannot be dealt an odd batch; its ends are even."""
    space = {
        "training.orpo_lambda": {"kind": "choice", "values": [0.1]},
        "student.lora_rank": {"kind": "choice", "values": [16]},
        "training.batch_size": {"kind": "int", "low": 4, "high": 8},
    }
    said: list[str] = []
    tree = {"tune": {"space": space, "trials": 9}, "resources": {"train_workers": 2}}
    made = Campaign(parse_config(tree), tmp_path, said.append)
    run(made)
    assert sorted(trial.choices["training.batch_size"] for trial in made.trials) == [4, 6, 8]
    assert made.is_complete()
    assert "no further legal configuration" in said[-1]


def test_fewer_combinations_than_trials(tmp_path: Path) -> None:
    ranks = {"kind": "choice", "values": [4, 8]}
    lambdas = {"kind": "choice", "values": [0.1, 0.5]}
    space = {"training.orpo_lambda": lambdas, "student.lora_rank": ranks}
    made = campaign(tmp_path, space=space, scheduler="none", algorithm="grid", trials=None)
    run(made)
    assert made.total == len(made.trials) == 5  # the config's own rank 16 is not among them
    assert made.is_complete()
