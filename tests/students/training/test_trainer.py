import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mint_ray.config.training import StudentConfig
from mint_ray.errors import ConfigError, DataError, TrainingError
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.engines.deepspeed_presets import deepspeed_config
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import load_student
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec, TrainingSummary
from mint_ray.tasks.prompts import build_prompt
from tests.students.kept_checkpoints import keep_checkpoints
from tests.students.pairs import NAMES, pair_row, student_config, training_config
from tests.students.workers import losses_of, losses_of_runs
from tests.two_ranks import TwoRanks

WritePairs = Callable[[list[dict[str, Any]]], Path]


class Killed(Exception):  # noqa: N818
    """Stands for a lost worker."""


@pytest.fixture
def pairs(write_pairs: WritePairs) -> Path:
    return write_pairs([pair_row(number) for number in range(12)])


def test_loss_falls_and_the_student_can_be_loaded(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    losses = losses_of(pairs, base_folder, tmp_path / "out", 4, epochs=6)
    assert len(losses) == 18
    assert losses[-1] < 0.6 * losses[0]
    student = load_student(tmp_path / "out", "cpu")
    assert (student.info.k, student.info.objective) == (2, "orpo")


def test_what_was_trained_is_ranked_first(
    write_pairs: WritePairs, base_folder: Path, tmp_path: Path
) -> None:
    words = ("alpha", "bravo", "kilo", "delta", "zulu", "echo", "golf", "hotel", "india", "quebec")
    notes = [f"{word} " * 12 for word in words]
    rows = [pair_row(i, prompt=build_prompt(note, k=2)) for i, note in enumerate(notes)]
    train(
        TrainingSpec(
            write_pairs(rows),
            tmp_path / "out",
            student=StudentConfig(base_model=str(base_folder), lora_rank=32, lora_alpha=64),
            training=training_config(batch_size=5, epochs=30, max_grad_norm=1.0),
            k=2,
            seed=0,
            micro_batch_size=5,
        ),
        lambda metrics, checkpoint: None,
    )
    ranker = Ranker(load_student(tmp_path / "out", "cpu"), NAMES, top_k=3)
    first = [ranking.labels[0] for ranking in ranker.rank(notes)]
    assert sum(a == b for a, b in enumerate(first)) >= 9


def test_accumulation_does_not_change_the_loss(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    whole = losses_of(pairs, base_folder, tmp_path / "a", 4)
    pieces = losses_of(pairs, base_folder, tmp_path / "b", 1)
    assert pieces == pytest.approx(whole, rel=1e-5)


def everything_in_pieces(folder: Path) -> Path:
    """ZeRO-3 as it is with large models: no parameter is small enough to stay whole."""
    config = deepspeed_config("zero3")
    config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    path = folder / "zero3.json"
    path.write_text(json.dumps(config))
    return path


def test_two_workers_and_deepspeed_give_the_losses_of_one(
    pairs: Path, base_folder: Path, tmp_path: Path, two_ranks: TwoRanks
) -> None:
    # The fourth step lies in another epoch than the third.
    alone = losses_of(pairs, base_folder, tmp_path / "alone", 4, epochs=2, max_steps=4)
    assert len(alone) == 4
    runs: list[dict[str, Any]] = [
        {"micro": 2, "deepspeed": "off", "checkpoint_steps": 1},
        {"micro": 3, "deepspeed": "off"},
        {"micro": 2, "deepspeed": "zero1"},
        {"micro": 1, "deepspeed": "zero2", "checkpoint_steps": 1},
        {"micro": 2, "deepspeed": "zero3", "checkpoint_steps": 1},
        {"micro": 2, "deepspeed": str(everything_in_pieces(tmp_path))},
    ]
    runs = [run | {"epochs": 2, "max_steps": 4} for run in runs]
    starts = {run: tmp_path / str(run) / "checkpoints" / "step-00000002" for run in (0, 3, 4)}
    resumed_runs = [runs[run] | {"resume_from": start} for run, start in starts.items()]
    everything = runs + resumed_runs
    losses = two_ranks.run(losses_of_runs, tmp_path, pairs, base_folder, everything)
    for run, found in zip(runs, losses, strict=False):
        assert found == pytest.approx(alone, rel=1e-4), run
    for run, found in zip(starts, losses[len(runs) :], strict=True):
        assert found == losses[run][2:], runs[run]
    for number, start in enumerate(starts.values()):
        settings = {"epochs": 2, "max_steps": 4, "resume_from": start}
        again = losses_of(pairs, base_folder, tmp_path / f"one{number}", 4, **settings)
        # Without DeepSpeed the optimizer goes along; its shards fit two workers only.
        assert again == pytest.approx(alone[2:], rel=1e-4 if number == 0 else 1e-1)


@pytest.mark.parametrize("engine", ["off", "zero2", "zero3"])
def test_a_killed_run_resumes_bit_for_bit(
    pairs: Path, base_folder: Path, tmp_path: Path, engine: str
) -> None:
    settings = {"epochs": 2, "max_steps": 4, "checkpoint_steps": 2, "deepspeed": engine}
    student = student_config(base_folder, lora_dropout=0.2)

    def run(out: Path, killed_at: int | None, resume_from: Path | None) -> dict[int, float]:
        losses: dict[int, float] = {}
        keep = keep_checkpoints(out / "checkpoints")

        def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
            losses[int(metrics["step"])] = metrics["loss"]
            if metrics["step"] == killed_at:
                raise Killed
            keep(metrics, checkpoint)

        train(
            TrainingSpec(
                pairs, out, student=student, training=training_config(**settings), k=2, seed=0
            ),
            report,
            resume_from,
        )
        return losses

    undisturbed = run(tmp_path / "whole", None, None)
    with pytest.raises(Killed):
        run(tmp_path / "part", 3, None)
    start = latest_good(tmp_path / "part" / "checkpoints")
    assert start is not None
    assert start.name == "step-00000002"
    resumed = run(tmp_path / "part", None, start)
    assert resumed == {step: loss for step, loss in undisturbed.items() if step > 2}
    adapters = [
        (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "part")
    ]
    assert adapters[0] == adapters[1]


def test_a_checkpoint_of_another_run_is_refused(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    losses_of(pairs, base_folder, tmp_path, 4)
    found = latest_good(tmp_path / "checkpoints")
    with pytest.raises(TrainingError, match="another run"):
        losses_of(pairs, base_folder, tmp_path, 4, resume_from=found, epochs=2)


def test_bad_rows_are_counted_and_never_trained_on(
    write_pairs: WritePairs, base_folder: Path, tmp_path: Path
) -> None:
    rows = [pair_row(number) for number in range(4)]
    rows.append(pair_row(4, chosen=[]))
    rows.append(pair_row(5, rejected=pair_row(5)["chosen"]))
    rows.append(pair_row(6, chosen=[{"role": "assistant", "content": "x" * 5000}]))
    rows.append(pair_row(0))
    rows.append(pair_row(7, split="test"))
    losses = losses_of(write_pairs(rows), base_folder, tmp_path / "out", 4)
    assert len(losses) == 1
    rejected = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert sorted(row["reason"] for row in rejected) == [
        "duplicate_id",
        "empty_chosen",
        "identical_answers",
        "too_long",
    ]


def test_no_usable_pair_is_an_error(
    write_pairs: WritePairs, base_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        losses_of(write_pairs([pair_row(0, chosen=[])]), base_folder, tmp_path, 4)
    assert error.value.counts == {"empty_chosen": 1}


@pytest.mark.parametrize("engine", ["off", "zero2", "zero3"])
def test_a_loss_that_is_not_finite_names_the_pairs(
    pairs: Path, base_folder: Path, tmp_path: Path, engine: str
) -> None:
    changes = {"learning_rate": 1e30, "max_grad_norm": 1e30, "warmup_ratio": 0.0}
    with pytest.raises(TrainingError, match=r"step 2: .*pair-0\d\d, pair-0\d\d"):
        losses_of(pairs, base_folder, tmp_path, 4, deepspeed=engine, **changes)
    assert not (tmp_path / "student.json").exists()


def test_a_batch_that_cannot_be_cut_is_refused_before_work(base_folder: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size=4"):
        losses_of(Path("absent"), base_folder, Path("absent"), 3, deepspeed="zero2")


def test_a_deepspeed_file_without_a_stage_is_refused(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="zero2"):
        losses_of(pairs, base_folder, tmp_path, 4, deepspeed=str(tmp_path / "config.json"))


def test_a_context_that_is_too_short_is_refused(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    student = StudentConfig(base_model=str(base_folder), max_length=4096)
    with pytest.raises(ConfigError, match="at most 2048"):
        train_briefly(pairs, tmp_path, student)


def train_briefly(pairs: Path, out: Path, student: StudentConfig) -> None:
    """One epoch with a student config of the test's own."""
    train(
        TrainingSpec(pairs, out, student=student, training=training_config(), k=2, seed=0),
        lambda metrics, checkpoint: None,
    )


def test_other_settings_than_the_starting_adapters_are_refused(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    losses_of(pairs, base_folder, tmp_path / "a", 4)
    student = StudentConfig(base_model=str(base_folder), lora_rank=8, init_adapter=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"lora_rank: expected 4.*found 8"):
        train_briefly(pairs, tmp_path / "b", student)


def test_activation_checkpointing_does_not_change_the_loss(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    without = losses_of(pairs, base_folder, tmp_path / "a", 4)
    with_it = losses_of(pairs, base_folder, tmp_path / "b", 4, activation_checkpointing=True)
    assert with_it == pytest.approx(without, rel=1e-5)


def test_a_start_that_is_no_adapter_is_refused(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"pickled")
    with pytest.raises(ConfigError, match=r"safetensors.*found no adapter_model\.safetensors"):
        losses_of(pairs, base_folder, tmp_path / "out", 4, init_adapter=tmp_path)


def test_training_can_start_from_an_adapter(pairs: Path, base_folder: Path, tmp_path: Path) -> None:
    first = losses_of(pairs, base_folder, tmp_path / "a", 4, epochs=4)
    losses: list[float] = []
    train(
        TrainingSpec(
            pairs,
            tmp_path / "b",
            student=student_config(base_folder, init_adapter=tmp_path / "a"),
            training=training_config(max_steps=1),
            k=2,
            seed=3,
        ),
        lambda metrics, _: losses.append(metrics["loss"]),
    )
    assert losses[0] < 0.7 * first[0]


@pytest.mark.parametrize("engine", ["off", "zero2", "zero3"])
def test_bfloat16_is_close_to_float32(
    pairs: Path, base_folder: Path, tmp_path: Path, engine: str
) -> None:
    wide = losses_of(pairs, base_folder, tmp_path / "a", 4)
    half = losses_of(pairs, base_folder, tmp_path / "b", 4, precision="bfloat16", deepspeed=engine)
    assert half == pytest.approx(wide, rel=0.1)
    assert half != wide


def test_a_run_resumed_after_its_last_step_has_metrics(
    write_pairs: WritePairs, base_folder: Path, tmp_path: Path
) -> None:
    """As after a kill between the last checkpoint and the finished student."""
    pairs = write_pairs([pair_row(number) for number in range(8)])

    def run(resume_from: Path | None) -> TrainingSummary:
        return train(
            TrainingSpec(
                pairs,
                tmp_path / "out",
                student=student_config(base_folder),
                training=training_config(),
                k=2,
                seed=0,
            ),
            keep_checkpoints(tmp_path / "checkpoints"),
            resume_from,
        )

    metrics = run(None).metrics
    assert run(latest_good(tmp_path / "checkpoints")).metrics == metrics


def test_a_run_resumed_with_a_new_optimizer_counts_on(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    """As with another number of workers under ZeRO, whose shards then fit no worker."""

    def run(out: Path, deepspeed: str, resume_from: Path | None) -> list[dict[str, float]]:
        rows: list[dict[str, float]] = []
        keep = keep_checkpoints(out / "checkpoints")

        def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
            rows.append(metrics)
            keep(metrics, checkpoint)

        settings = {"epochs": 2, "max_steps": 4, "checkpoint_steps": 2, "deepspeed": deepspeed}
        spec = TrainingSpec(
            pairs,
            out,
            student=student_config(base_folder),
            training=training_config(**settings),
            k=2,
            seed=0,
        )
        train(spec, report, resume_from)
        return rows

    whole = run(tmp_path / "whole", "off", None)
    start = tmp_path / "whole" / "checkpoints" / "step-00000002"
    resumed = run(tmp_path / "part", "zero2", start)
    assert [row["tokens_seen"] for row in resumed] == [row["tokens_seen"] for row in whole[2:]]
    assert resumed[0]["training_seconds"] > whole[1]["training_seconds"]
