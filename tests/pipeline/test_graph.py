"""Steps: what a setting changes, what is skipped, what an interrupted or damaged step does."""

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mint_ray.cli import main
from mint_ray.common.digests import sha256
from mint_ray.config.config import Config
from mint_ray.config.former_names import without_newer_defaults
from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError, DataError, MintError
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.pipeline.progress import Progress
from mint_ray.pipeline.steps import STEPS, Step, StepContext, StepOutcome

TRAINED = {"train", "evaluate", "tune", "calibrate"}


def config(tmp_path: Path, **sections: object) -> Config:
    tree = {"store": str(tmp_path / "runs"), "tracking": {"enabled": False}}
    return parse_config({**tree, **sections})


def keys(made: Config) -> dict[str, str]:
    return {name: item.key for name, item in pipeline.plan(made).items()}


@pytest.mark.parametrize(
    ("sections", "changed"),
    [
        ({"evaluation": {"top_k": 5}}, {"evaluate", "calibrate", "compare", "reason"}),
        ({"training": {"orpo_lambda": 0.2}}, TRAINED),
        ({"training": {"watch": {"cases": 5}}}, TRAINED - {"tune"}),  # which does not read it
        ({"preferences": {"k": 3}}, {"prefer", "candidates", *TRAINED}),
        ({"teacher": {"epochs": 3}}, {"teach", "prefer", "candidates", *TRAINED}),
        ({"tune": {"trials": 9}}, {"tune"}),
        ({"tune": {"trials": 9}, "promotion": {"source": "tune"}}, {"tune", "calibrate"}),
        ({"promotion": {"coverage": 0.8}}, {"calibrate"}),
        ({"retrieval": {"chunk_words": 256}}, {"index", "reason"}),
        ({"retrieval": {"method": "bm25"}}, {"reason"}),
        ({"reasoning": {"protocol": "cot"}}, {"reason"}),
        ({"reasoning": {"server": {"retries": 9, "max_requests": 7}}}, set()),
        ({"promotion": {"metric": "nll", "model_name": "other"}}, set()),
        ({"tune": {"max_concurrent_trials": 1, "time_budget_minutes": 5}}, set()),
        ({"seed": 1}, {step.name for step in STEPS}),
        ({"resources": {"actors": 7}, "name": "other"}, set()),
    ],
)
def test_a_setting_reruns_only_what_depends_on_it(
    tmp_path: Path, sections: dict[str, object], changed: set[str]
) -> None:
    before, after = keys(config(tmp_path)), keys(config(tmp_path, **sections))
    assert {name for name in before if before[name] != after[name]} == changed


ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m"}


def test_limits_of_an_endpoint_rerun_nothing(tmp_path: Path) -> None:
    asked = config(tmp_path, teacher={"name": "endpoint", "endpoint": ENDPOINT})
    limits = {"concurrency": 9, "max_requests": 5, "api_key_env": "OTHER", "retries": 0}
    limited = config(tmp_path, teacher={"name": "endpoint", "endpoint": ENDPOINT | limits})
    other = config(tmp_path, teacher={"name": "endpoint", "endpoint": ENDPOINT | {"names": 3}})
    assert keys(asked) == keys(limited)
    assert keys(asked)["teach"] != keys(other)["teach"]


def test_a_table_of_scores_counts_by_content_not_by_place(tmp_path: Path) -> None:
    def with_scores(path: Path) -> dict[str, str]:
        teacher = {"name": "scores", "scores": {"path": str(path)}}
        return keys(config(tmp_path, teacher=teacher))

    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("case_id,score")
    two.write_text("case_id,score")
    before = with_scores(one)
    assert before == with_scores(two)
    two.write_text("case_id,score,label_id")
    assert before["teach"] != with_scores(two)["teach"]
    assert before["cases"] == with_scores(two)["cases"]


@pytest.mark.parametrize(
    ("section", "setting", "others"),
    [
        ("cases", "path", {"source": "phenopackets"}),
        ("knowledge", "release", {}),
        ("knowledge", "more_names", {}),
    ],
)
def test_input_files_count_by_content_not_by_place(
    section: str, setting: str, others: dict[str, str], tmp_path: Path
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text("{}")
    two.write_text("{}")

    def key(path: Path) -> str:
        return keys(config(tmp_path, **{section: {**others, setting: str(path)}}))["cases"]

    before = key(one)
    assert before != keys(config(tmp_path))["cases"]
    assert before == key(two)
    two.write_text('{"id": 1}')
    assert before != key(two)


def test_files_behind_links_count(tmp_path: Path) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    for made in (folder, away):
        made.mkdir()
        (made / "a").write_text("a")

    def key() -> str:
        cases = {"source": "images", "path": str(folder)}
        return keys(config(tmp_path, task="tissue", teacher={"name": "clip"}, cases=cases))["cases"]

    before = key()
    (folder / "loop").symlink_to(folder)
    assert key() == before
    (folder / "linked").symlink_to(away)
    linked = key()
    assert linked != before
    (away / "a").write_text("b")
    assert key() != linked


def test_a_setting_that_came_later_is_hashed_only_where_it_is_used(tmp_path: Path) -> None:
    made = config(tmp_path)
    bare = made.model_dump(mode="json")
    defaults = Config().model_dump(mode="json")
    hashed = without_newer_defaults(bare, defaults)
    assert "levels" in bare["cases"]["images"]
    assert not {"levels", "label_names"} & set(hashed["cases"]["images"])
    used = config(tmp_path, cases={"images": {"levels": ["label"], "label_names": {"0": "a"}}})
    assert keys(used)["cases"] != keys(made)["cases"]
    hashed = without_newer_defaults(used.model_dump(mode="json"), defaults)
    kept = hashed["cases"]["images"]
    assert (kept["levels"], kept["label_names"]) == (["label"], {"0": "a"})


def test_a_missing_input_file_is_named_before_any_work(tmp_path: Path) -> None:
    made = config(tmp_path, cases={"source": "phenopackets", "path": "gone.zip"})
    with pytest.raises(ConfigError, match=r"gone\.zip"):
        pipeline.plan(made)


def test_an_input_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "patients.zip"
    file.write_bytes(b"first")
    read: list[Path] = []
    monkeypatch.setattr(pipeline, "sha256", lambda path: read.append(path) or sha256(path))
    cases = {"source": "phenopackets", "path": str(file)}
    made = config(tmp_path, cases=cases, compare={"systems": SYSTEMS})
    before = keys(made)
    assert read == [file]
    file.write_bytes(b"another")
    assert keys(made)["cases"] != before["cases"]
    assert read == [file, file]


def test_a_store_that_cannot_be_written_is_an_error_for_people(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.write_text("not a folder")
    with pytest.raises(ConfigError, match=r"store=.*runs: expected a folder that can be written"):
        run(config(tmp_path))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Replace the stages by ones that write a file; returns the list of what ran."""
    ran: list[str] = []

    def install(fails: str | None = None, interrupted: str | None = None) -> list[str]:
        def load(step: Step) -> Callable[[StepContext], StepOutcome]:
            def run(context: StepContext) -> StepOutcome:
                ran.append(step.name)
                if step.name == fails:
                    raise DataError("no rows")
                if step.name == interrupted:
                    (context.output / "data.txt").write_text("half")
                    signal.raise_signal(signal.SIGINT)  # as Ctrl-C does
                (context.output / "data.txt").write_text(context.key)
                return StepOutcome(rows_in=3, rows_out=2, rejected={"empty_note": 1})

            return run

        monkeypatch.setattr(Step, "load", load)
        ran.clear()
        return ran

    return install


def run(made: Config, force: str | None = None) -> str:
    text = StringIO()
    progress = Progress(Console(file=text, width=120))
    pipeline.run_steps(made, pipeline.select(made), force, progress)
    return text.getvalue()


def test_complete_steps_are_skipped_and_force_discards(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = config(tmp_path), steps()
    assert "rejected: 1 empty_note" in run(made)
    assert ran == [step.name for step in STEPS if not step.on_request]
    ran.clear()
    assert "complete, skipped" in run(made)
    assert ran == []
    run(made, force="prefer")
    assert ran == ["prefer"]


def test_a_failed_step_stays_incomplete_and_runs_again(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made = config(tmp_path)
    steps(fails="teach")
    with pytest.raises(DataError, match="no rows"):
        run(made)
    manifest = read_manifest(pipeline.plan(made)["teach"].folder)
    assert manifest is not None
    assert not manifest.complete
    ran = steps()
    run(made)
    assert ran == ["teach", "prefer", "train", "evaluate"]


def test_a_campaign_runs_on_request_with_pairs_for_every_preference(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    ran = steps()
    space = {"preferences.rejected_size": {"kind": "choice", "values": [10, 5, 3]}}
    made = config(tmp_path, tune={"space": space})
    progress = Progress(Console(file=StringIO()))
    pipeline.run_steps(made, pipeline.needed_for("tune", made), None, progress)
    assert ran == ["cases", "teach", "prefer", "prefer", "prefer", "tune"]
    manifest = read_manifest(pipeline.plan(made)["tune"].folder)
    assert manifest is not None
    other = config(tmp_path, preferences={"q": 5})
    assert (
        manifest.inputs["prefer preferences.rejected_size=5"]
        == pipeline.plan(other)["prefer"].folder.name
    )
    assert len(manifest.inputs) == 4
    with pytest.raises(ConfigError, match="on request only"):
        pipeline.select(made, "tune")


def test_a_campaign_of_calibrations_ranks_their_candidates_first(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    ran = steps()
    made = config(tmp_path, training={"objective": "cft", "candidates": "beam"})
    progress = Progress(Console(file=StringIO()))
    pipeline.run_steps(made, pipeline.needed_for("tune", made), None, progress)
    assert ran == ["cases", "teach", "prefer", "candidates", "tune"]
    manifest = read_manifest(pipeline.plan(made)["tune"].folder)
    assert manifest is not None
    assert manifest.inputs["candidates"] == pipeline.plan(made)["candidates"].folder.name


SYSTEMS: dict[str, dict[str, object]] = {
    "dpo": {"overrides": {"training.objective": "dpo"}, "start_from": "sft_lists"},
    "look_ups": {"overrides": {"evaluation.systems": ["majority", "base"]}},
    "sft_lists": {"overrides": {"training.objective": "sft"}},
    "orpo": {},
}


def compare(tmp_path: Path, **sections: object) -> Config:
    return config(tmp_path, **{"compare": {"systems": SYSTEMS}, **sections})


def run_comparison(made: Config) -> str:
    text = StringIO()
    progress = Progress(Console(file=text, width=120))
    pipeline.run_steps(made, pipeline.needed_for("compare", made), None, progress)
    return text.getvalue()


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_a_comparison_runs_each_system_after_the_one_that_it_starts_from(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = compare(tmp_path), steps()
    planned = pipeline.plan(made)["compare"].folder
    run_comparison(made)
    # Pairs are shared, and look_ups has the training of orpo.
    trained = ["train", "train", "evaluate", "train", "evaluate", "evaluate", "evaluate"]
    assert ran == ["cases", "teach", "prefer", *trained, "compare"]
    assert pipeline.plan(made)["compare"].folder == planned
    manifest = manifest_of(planned)
    assert list(manifest.inputs) == [
        "cases",
        *(f"evaluate {name}" for name in ("dpo", "look_ups", "sft_lists", "orpo")),
    ]
    trainings = {}
    for name in ("sft_lists", "dpo"):
        evaluated = manifest_of(tmp_path / "runs" / manifest.inputs[f"evaluate {name}"])
        trainings[name] = tmp_path / "runs" / evaluated.inputs["train"]
    started = manifest_of(trainings["dpo"]).config["student"]["init_adapter"]
    assert started == str(trainings["sft_lists"])

    ran.clear()
    assert "complete, skipped" in run_comparison(made)
    assert ran == []
    changed = {**SYSTEMS, "sft_lists": {"overrides": {"training": {"objective": "sft"}}}}
    run_comparison(compare(tmp_path, compare={"systems": changed}))
    assert ran == []  # another way to write the same


def test_processes_share_the_systems_of_a_comparison(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = compare(tmp_path), steps()
    progress = Progress(Console(file=StringIO()))
    pipeline.run_systems(made, ["sft_lists"], progress)
    assert ran == ["cases", "teach", "prefer", "train", "evaluate"]
    ran.clear()
    pipeline.run_systems(made, ["dpo", "sft_lists"], progress)
    assert ran == ["train", "evaluate"]  # sft_lists, its start, is there
    ran.clear()
    run_comparison(made)
    assert ran == ["train", "evaluate", "evaluate", "compare"]
    with pytest.raises(ConfigError, match=r"--only sft: expected .*: dpo, look_ups, sft_l"):
        pipeline.run_systems(made, ["orpo", "sft"], progress)


def test_a_start_that_is_not_compared_is_only_trained(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    systems = {"dpo": SYSTEMS["dpo"], "sft_lists": {**SYSTEMS["sft_lists"], "compared": False}}
    made = compare(tmp_path, compare={"systems": systems, "reference": "dpo"})
    ran = steps()
    pipeline.run_systems(made, ["sft_lists"], Progress(Console(file=StringIO())))
    assert ran == ["cases", "teach", "prefer", "train"]


def test_a_student_that_another_one_starts_from_counts_by_its_step(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = compare(tmp_path), steps()
    run_comparison(made)
    ran.clear()
    for folder in (tmp_path / "runs").glob("train-*"):
        (folder / "tracking-queue.jsonl").write_text("late records\n")
        (folder / "checkpoint").mkdir()
    run_comparison(made)
    assert ran == []


def test_a_comparison_goes_on_where_it_stopped(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made = compare(tmp_path)
    steps(fails="evaluate")
    with pytest.raises(DataError, match="no rows"):
        run_comparison(made)
    ran = steps()
    run_comparison(made)
    assert ran == ["evaluate", "train", "evaluate", "evaluate", "evaluate", "compare"]


def test_a_system_that_changes_runs_again_with_those_that_start_from_it(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    ran = steps()
    run_comparison(compare(tmp_path))
    ran.clear()
    slower = {"overrides": {"training.objective": "sft", "training.learning_rate": 1e-6}}
    changed = compare(tmp_path, compare={"systems": {**SYSTEMS, "sft_lists": slower}})
    run_comparison(changed)
    assert ran == ["train", "train", "evaluate", "evaluate", "compare"]


POOLED = {"fused_look_ups": ["stacked"]}


@pytest.mark.parametrize(
    ("stage", "changed"),
    [
        ("evaluate", {"evaluation": {"generate_cases": 5}}),
        ("evaluate", {"evaluation": {"systems": ["majority", "stacked"]}}),
        ("evaluate", {"evaluation": {"systems": ["student", "fused"], **POOLED}}),
        ("teach", {"teacher": {"name": "stacked"}}),
    ],
)
def test_only_what_a_change_touches_has_its_version(
    stage: str, changed: dict[str, Any], tmp_path: Path
) -> None:
    (step,) = [step for step in STEPS if step.name == stage]
    assert step.version_for(config(tmp_path)) == step.version
    assert step.version_for(config(tmp_path, **changed)) > step.version


TRIALS = {"max_steps": 60, "trials": {"learning_rates": [1e-4, 1e-3]}}


def test_a_training_takes_its_learning_rate_from_trials(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = config(tmp_path, training=TRIALS), steps()
    run(made)
    assert ran == ["cases", "teach", "prefer", "train", "train", "rates", "train", "evaluate"]
    planned = pipeline.plan(made)
    trained, chosen = manifest_of(planned["train"].folder), manifest_of(planned["rates"].folder)
    assert trained.inputs["rates"] == planned["rates"].folder.name
    tried = [manifest_of(tmp_path / "runs" / chosen.inputs[f"train {r}"]) for r in (0.0001, 0.001)]
    settings = [trial.config["training"] for trial in tried]
    assert [(each["learning_rate"], each["max_steps"]) for each in settings] == [
        (1e-4, 15),
        (1e-3, 15),
    ]
    # A trial is an ordinary training, which a run with these settings shares.
    shorter = config(tmp_path, training={"max_steps": 15, "learning_rate": 1e-3})
    assert pipeline.plan(shorter)["train"].folder.name == chosen.inputs["train 0.001"]
    ran.clear()
    run(made)
    assert ran == []
    more = {**TRIALS, "trials": {"learning_rates": [1e-4, 1e-3, 1e-2]}}
    run(config(tmp_path, training=more))
    assert ran == ["train", "rates", "train", "evaluate"]
    assert [step.name for step in pipeline.select(made, "prefer")] == ["cases", "teach", "prefer"]
    plain = config(tmp_path)
    with pytest.raises(ConfigError, match=r"trials\.learning_rates: expected at least two"):
        pipeline.run_steps(plain, pipeline.needed_for("rates", plain), None, Progress())


def test_candidates_are_ranked_once_for_all_trainings_from_a_student(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    calibrated = {
        name: {
            "start_from": "orpo",
            "overrides": {"training": {**TRIALS, "objective": name, "candidates": "beam"}},
        }
        for name in ("cft", "rcft")
    }
    made, ran = compare(tmp_path, compare={"systems": {"orpo": {}, **calibrated}}), steps()
    run_comparison(made)
    assert (ran.count("candidates"), ran.count("rates"), ran.count("train")) == (1, 2, 7)
    assert ran.index("candidates") > ran.index("train")
    (folder,) = (tmp_path / "runs").glob("candidates-*")
    started = manifest_of(folder).config["student"]["init_adapter"]
    assert manifest_of(Path(started)).config["training"]["objective"] == "orpo"
    # Objectives without candidates ask for no ranking.
    plain = config(tmp_path, training={"candidates": "beam"})
    assert [step.name for step in pipeline.needed_for("train", plain)][-1:] == ["train"]
    assert "candidates" not in manifest_of(Path(started)).inputs


def test_trials_of_a_system_start_where_its_training_starts(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = compare(tmp_path, training=TRIALS), steps()
    planned = pipeline.plan(made)["compare"].folder
    run_comparison(made)
    # Each of the three trainings has two trials; look_ups shares those of orpo.
    assert (ran.count("rates"), ran.count("train")) == (3, 9)
    manifest = manifest_of(planned)
    store = tmp_path / "runs"
    trained = {}
    for name in ("sft_lists", "dpo"):
        evaluated = manifest_of(store / manifest.inputs[f"evaluate {name}"])
        trained[name] = evaluated.inputs["train"]
    rates = manifest_of(store / manifest_of(store / trained["dpo"]).inputs["rates"])
    trials = [trial for name, trial in rates.inputs.items() if name.startswith("train ")]
    starts = [manifest_of(store / trial).config["student"]["init_adapter"] for trial in trials]
    assert starts == 2 * [str(store / trained["sft_lists"])]
    ran.clear()
    for folder in store.glob("train-*"):
        (folder / "late").write_text("a file more")
    run_comparison(made)
    assert ran == []


def test_a_comparison_without_systems_is_refused_before_any_work(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    ran = steps()
    with pytest.raises(ConfigError, match=r"compare\.systems: expected at least one system"):
        run_comparison(config(tmp_path))
    assert ran == []


@contextmanager
def another_process_holds(folder: Path, kind: str) -> Iterator[None]:
    """Let another process hold a step's lock while the body runs."""
    code = (
        f"from pathlib import Path; from mint_ray.pipeline.locks import hold_for_{kind}\n"
        f"with hold_for_{kind}(Path({str(folder)!r})): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


def test_ctrl_c_leaves_a_step_that_does_not_claim_to_be_complete(
    tmp_path: Path, steps: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    made, file = config(tmp_path), tmp_path / "run.yaml"
    tree = {"store": str(tmp_path / "runs"), "tracking": {"enabled": False}}
    file.write_text(json.dumps(tree))
    steps(interrupted="prefer")
    assert main(["run", str(file), "--until", "train"]) == 130
    printed = capsys.readouterr().err
    assert printed.endswith("mint: interrupted; the same command continues\n")
    assert "Traceback" not in printed
    planned = pipeline.plan(made)
    assert [name for name in planned if planned[name].complete] == ["cases", "teach"]
    assert main(["path", str(file), "prefer"]) == 1
    ran = steps()
    assert main(["run", str(file), "--until", "train"]) == 0
    assert ran == ["prefer", "train"]
    assert (planned["prefer"].folder / "data.txt").read_text() == planned["prefer"].key


@pytest.mark.parametrize("force", [None, "cases"])
def test_two_drivers_cannot_run_one_step(
    tmp_path: Path, steps: Callable[..., list[str]], force: str | None
) -> None:
    made, ran = config(tmp_path), steps()
    folder = pipeline.plan(made)["cases"].folder
    with (
        another_process_holds(folder, "writing"),
        pytest.raises(MintError, match=r"another process is running or reading cases-.*wait until"),
    ):
        run(made, force=force)
    assert ran == []
    run(made)  # the lock of a process that was killed is free


def test_force_does_not_touch_what_another_driver_works_on(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made, ran = config(tmp_path), steps()
    run(made)
    ran.clear()
    planned = pipeline.plan(made)
    for step, kind in (("train", "writing"), ("cases", "reading")):
        before = sorted(planned[step].folder.iterdir())
        with (
            another_process_holds(planned[step].folder, kind),
            pytest.raises(MintError, match=f"another process is running or reading {step}-"),
        ):
            run(made, force=step)
        assert sorted(planned[step].folder.iterdir()) == before
    assert ran == []


def test_a_step_that_another_driver_completed_meanwhile_is_skipped(
    tmp_path: Path, steps: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, ran = config(tmp_path), steps()
    hold, other = pipeline.hold_for_writing, []

    @contextmanager
    def late(folder: Path) -> Iterator[None]:
        if not other:  # between the look at the manifest and the lock, another driver runs it all
            other.append(folder)
            run(made)
            ran.clear()
        with hold(folder):
            yield

    monkeypatch.setattr(pipeline, "hold_for_writing", late)
    assert run(made).count("complete, skipped") == 5
    assert ran == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_input_is_named_and_not_read(
    tmp_path: Path, steps: Callable[..., list[str]], damage: str
) -> None:
    made, ran = config(tmp_path), steps()
    run(made)
    ran.clear()
    file = pipeline.plan(made)["prefer"].folder / "data.txt"
    content = file.read_bytes()
    if damage == "flip":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "cut":
        file.write_bytes(content[:-1])
    else:
        file.unlink()
    changed = config(tmp_path, training={"orpo_lambda": 0.5})
    with pytest.raises(DataError, match=r"data\.txt is damaged: .*--force"):
        run(changed)
    assert ran == []
    assert "done" in run(changed, force="prefer")


def test_files_that_change_later_are_not_sealed(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made = config(tmp_path)
    steps()
    run(made)
    folder = pipeline.plan(made)["cases"].folder
    (folder / "tracking-queue.jsonl").write_text("later")
    manifest = read_manifest(folder)
    assert manifest is not None
    assert list(manifest.files) == ["data.txt"]
    run(config(tmp_path, teacher={"epochs": 3}))


def test_the_manifest_says_what_was_asked_and_what_came_out(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made = config(tmp_path)
    steps()
    run(made)
    planned = pipeline.plan(made)
    manifest = json.loads((planned["prefer"].folder / "manifest.json").read_text())
    assert manifest["inputs"] == {name: planned[name].folder.name for name in ("cases", "teach")}
    assert manifest["config"]["preferences"]["chosen_size"] == made.preferences.chosen_size
    assert (manifest["rows_in"], manifest["rows_out"]) == (3, 2)
    assert manifest["rejected"] == {"empty_note": 1}


def test_a_damaged_manifest_is_an_error_with_advice(
    tmp_path: Path, steps: Callable[..., list[str]]
) -> None:
    made = config(tmp_path)
    steps()
    run(made)
    file = pipeline.plan(made)["cases"].folder / "manifest.json"
    file.write_text(file.read_text()[:20])
    with pytest.raises(DataError, match="delete the folder"):
        run(made)


def test_a_new_step_version_changes_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(config(tmp_path))
    raised = tuple(
        dataclasses.replace(step, version=step.version + 1) if step.name == "train" else step
        for step in STEPS
    )
    monkeypatch.setattr(pipeline, "STEPS", raised)
    after = keys(config(tmp_path))
    assert {name for name in before if before[name] != after[name]} == {
        "train",
        "evaluate",
        "calibrate",
    }


def test_a_huge_input_is_told_by_its_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "HASHED_WHOLE", 1000)
    file = tmp_path / "images.npy"
    file.write_bytes(bytes(2**17))
    first = pipeline._file_digest(file)
    assert pipeline._file_digest(file) == first
    with file.open("r+b") as stream:
        stream.seek(70_000)
        stream.write(b"other")
    assert pipeline._file_digest(file) != first
