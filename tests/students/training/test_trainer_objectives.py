"""Each objective through the whole trainer, on a tiny model."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mint_ray.errors import ConfigError, DataError
from mint_ray.students.student_folder import read_info
from mint_ray.tasks.prompts import build_prompt
from tests.students.pairs import labelled_row, pair_row
from tests.students.workers import curves_of, losses_of, losses_of_runs
from tests.two_ranks import TwoRanks

WritePairs = Callable[[list[dict[str, Any]]], Path]
OBJECTIVES = ("orpo", "dpo", "sft", "cft", "rcft")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("MINT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pairs(write_pairs: WritePairs) -> Path:
    return write_pairs([labelled_row(number) for number in range(12)])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_and_names_itself(
    pairs: Path, base_folder: Path, catalogue: Path, tmp_path: Path, objective: str
) -> None:
    epochs = 20 if objective == "rcft" else 10  # its bins change, and its loss with them
    settings: dict[str, Any] = {"objective": objective, "catalogue": catalogue, "epochs": epochs}
    losses = losses_of(pairs, base_folder, tmp_path / "out", 4, max_grad_norm=1.0, **settings)
    assert losses[-1] < 0.95 * losses[0]
    assert read_info(tmp_path / "out").objective == objective


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_cut_of_a_step_changes_the_loss(
    pairs: Path,
    base_folder: Path,
    catalogue: Path,
    tmp_path: Path,
    objective: str,
    two_ranks: TwoRanks,
) -> None:
    settings: dict[str, Any] = {"objective": objective, "catalogue": catalogue, "epochs": 2}
    alone = losses_of(pairs, base_folder, tmp_path / "alone", 4, **settings)
    plain = losses_of(pairs, base_folder, tmp_path / "b", 1, prefix_sharing="off", **settings)
    assert plain == pytest.approx(alone, rel=1e-4)
    if objective in ("dpo", "rcft"):
        runs = [{"micro": 1} | settings, {"micro": 2, "deepspeed": "zero3"} | settings]
        for found in two_ranks.run(losses_of_runs, tmp_path, pairs, base_folder, runs):
            assert found == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("objective", ["dpo", "rcft"])
def test_what_was_found_before_is_there_after_a_restart(
    pairs: Path, base_folder: Path, catalogue: Path, tmp_path: Path, objective: str
) -> None:
    settings: dict[str, Any] = {"objective": objective, "catalogue": catalogue, "epochs": 3}
    whole = losses_of(pairs, base_folder, tmp_path / "a", 4, checkpoint_steps=1, **settings)
    # Step 5 lies in the middle of an epoch, whose bins were estimated at its start.
    start = tmp_path / "a" / "checkpoints" / "step-00000004"
    again = losses_of(pairs, base_folder, tmp_path / "b", 4, resume_from=start, **settings)
    assert again == whole[4:]


def test_dpo_starts_at_its_reference_and_keeps_it(
    pairs: Path, base_folder: Path, tmp_path: Path, cache: Path
) -> None:
    first = losses_of(pairs, base_folder, tmp_path / "sft", 4, objective="sft", epochs=3)
    assert first
    settings: dict[str, Any] = {"objective": "dpo", "init_adapter": tmp_path / "sft"}
    losses = losses_of(pairs, base_folder, tmp_path / "a", 4, **settings)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    (file,) = (cache / "reference").iterdir()
    written = file.stat().st_mtime_ns
    other = losses_of(pairs, base_folder, tmp_path / "b", 4, dpo_beta=0.5, **settings)
    assert other[0] == pytest.approx(math.log(2), abs=1e-5)
    assert file.stat().st_mtime_ns == written
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert losses_of(pairs, base_folder, tmp_path / "c", 4, **settings) == losses
    # Another starting point is another reference.
    losses_of(pairs, base_folder, tmp_path / "d", 4, objective="dpo")
    assert len(list((cache / "reference").iterdir())) == 2


def test_cft_puts_the_known_answer_first(
    write_pairs: WritePairs, base_folder: Path, catalogue: Path, tmp_path: Path
) -> None:
    words = ("alpha", "bravo", "kilo", "delta", "zulu", "echo", "golf", "hotel", "india", "quebec")
    prompts = [build_prompt(f"{word} " * 12, k=2) for word in words]
    pairs = write_pairs([labelled_row(n, prompt=prompt) for n, prompt in enumerate(prompts)])
    settings: dict[str, Any] = {"objective": "cft", "catalogue": catalogue, "epochs": 30}
    curves = curves_of(pairs, base_folder, tmp_path, 4, max_grad_norm=1.0, **settings)
    assert sum(metrics["accuracy"] for metrics in curves[-3:]) / 3 > 0.8
    assert {"calibration/ece", "calibration/calibratable"} <= curves[0].keys()
    assert "calibration/ece" not in curves[1]


def test_rcft_estimates_its_bins_anew_every_epoch(
    pairs: Path, base_folder: Path, catalogue: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"objective": "rcft", "catalogue": catalogue, "epochs": 3}
    curves = curves_of(pairs, base_folder, tmp_path, 4, **settings)
    measured = [number for number, metrics in enumerate(curves) if "calibration/ece" in metrics]
    assert measured == [0, 3, 6]


@pytest.mark.parametrize("objective", ["orpo", "sft"])
def test_labels_are_smoothed_while_training(
    pairs: Path, base_folder: Path, tmp_path: Path, objective: str
) -> None:
    settings: dict[str, Any] = {"objective": objective, "max_steps": 1}
    plain = losses_of(pairs, base_folder, tmp_path / "a", 4, **settings)
    smoothed = losses_of(pairs, base_folder, tmp_path / "b", 4, label_smoothing=0.2, **settings)
    assert smoothed[0] != pytest.approx(plain[0], rel=1e-3)


def test_the_odds_ratio_leaves_out_the_header_while_training(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"max_steps": 1}
    (plain,) = curves_of(pairs, base_folder, tmp_path / "a", 4, **settings)
    (names,) = curves_of(pairs, base_folder, tmp_path / "b", 4, odds_over="names", **settings)
    assert names["nll_loss"] == pytest.approx(plain["nll_loss"], rel=1e-6)
    assert names["log_odds_chosen"] != pytest.approx(plain["log_odds_chosen"], rel=1e-3)


def test_rejected_sets_share_a_prompt_and_change_nothing(
    write_pairs: WritePairs, base_folder: Path, tmp_path: Path
) -> None:
    rows = [
        pair_row(n, preference_id=f"{n}#{w}", rejected=pair_row(n + 2 + w)["rejected"])
        for n in range(4)
        for w in range(3)
    ]
    shared = curves_of(write_pairs(rows), base_folder, tmp_path / "a", 4)
    assert len(shared) == 1
    apart = [row | {"case_id": row["preference_id"]} for row in rows]
    losses = losses_of(write_pairs(apart), base_folder, tmp_path / "b", 4, batch_size=12)
    assert losses == pytest.approx([shared[0]["loss"]], rel=1e-5)


def test_what_is_missing_is_named(
    write_pairs: WritePairs, base_folder: Path, catalogue: Path, tmp_path: Path
) -> None:
    bare = write_pairs([pair_row(0)])
    with pytest.raises(DataError, match="`label_id`"):
        losses_of(bare, base_folder, tmp_path, 4, objective="cft", catalogue=catalogue)
    labelled = write_pairs([labelled_row(0)])
    with pytest.raises(ConfigError, match=r"catalogue\.parquet"):
        losses_of(labelled, base_folder, tmp_path, 4, objective="cft")
    unknown = write_pairs([labelled_row(0), labelled_row(1) | {"label_id": None}])
    losses_of(unknown, base_folder, tmp_path, 1, objective="cft", catalogue=catalogue, batch_size=1)
