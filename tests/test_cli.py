"""The command: exit codes, and messages for people instead of tracebacks."""

import subprocess
import sys
from pathlib import Path

import pytest

from mint_ray.cli import main

CONFIG = "name: toy\ntracking: {enabled: false}\n"


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "toy.yaml"
    file.write_text(f"{CONFIG}store: {tmp_path / 'runs'}\n")
    return str(file)


def test_dry_run_and_status_show_the_plan_and_touch_nothing(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", config, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cases", "teach", "prefer", "train", "evaluate"]
    assert all("to run" in line for line in lines)
    trials = ["training.max_steps=8", "training.trials.learning_rates=[1e-4,1e-3]"]
    assert main(["run", config, *trials, "--dry-run"]) == 0
    states = {
        line[:10].strip(): line[11:22].strip() for line in capsys.readouterr().out.splitlines()
    }
    assert set(states) == {"cases", "teach", "prefer", "rates", "train", "evaluate"}
    assert set(states.values()) == {"to run"}
    assert main(["status", config, "seed=1"]) == 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "gone.yaml"], 1, "ConfigError: config file not found"),
        (["run", "{config}", "cases.sauce=1"], 1, "cases.sauce"),
        (["run", "{config}", "--until", "tea"], 1, "stages are cases, teach"),
        (["run", "{config}", "--force", "serve"], 1, "--force serve"),
        (["path", "{config}", "train"], 1, "stage train is not complete"),
        (["predict", "--student", "/gone", "--cases", "x", "--out", "y"], 1, "finished train step"),
        (["compare", "{config}"], 1, "compare.systems: expected at least one system"),
        (
            ["compare", "{config}", "compare.systems.dpo.start_from=sft"],
            1,
            "compare.systems.dpo.start_from: expected one of dpo (found 'sft')",
        ),
        (
            ["compare", "{config}", "compare.systems.orpo.overrides.training.rate=1"],
            1,
            "training.rate: Extra inputs are not permitted",
        ),
        (["diff", "/gone", "/gone"], 1, "expected the folder of a finished evaluate or compare"),
        (["score", "/gone", "/gone"], 1, "expected the folder of a finished evaluate or compare"),
        (["fly"], 2, "No such command"),
        (["run"], 2, "Missing argument"),
    ],
)
def test_errors_are_for_people(
    config: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert main([argument.format(config=config) for argument in arguments]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_a_submitted_job_needs_an_absolute_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    file = tmp_path / "toy.yaml"
    file.write_text(CONFIG)
    assert main(["status", str(file)]) == 1
    assert "absolute path that every node sees" in capsys.readouterr().err


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mint_ray", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("mint, version")
