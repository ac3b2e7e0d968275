"""Calibration and promotion of students that differ in how much they know."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.commands.predict import predict
from mint_ray.commands.promote import Decision, promote
from mint_ray.config.config import Config
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.manifest import Manifest, read_manifest, write_manifest
from mint_ray.pipeline.progress import Progress
from mint_ray.students.models.base_models import load_base_model, load_tokenizer, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import info_of, load_student, write_student
from mint_ray.tracking.registry import Registry
from tests.students.pairs import LABELS, NAMES
from tests.tracking.servers import KINDS, store_uri

pytestmark = pytest.mark.usefixtures("actors_here")

GOOD, BAD = 4, 5
NOTES = [f"Patient {n} with finding {n % 7} and sign {n % 5}." for n in range(36)]


def config(store: Path, base: Path, student: int, **promotion: Any) -> Config:
    """Students differ by their training's weight decay, which is as good as any other name."""
    return Config.model_validate(
        {
            "store": str(store),
            "student": {"base_model": str(base), "lora_rank": 4, "max_prompt_length": 500},
            "training": {"weight_decay": student / 100},
            "evaluation": {"bootstrap_samples": 200},
            "tracking": {"enabled": False},
            "resources": {"actors": 1},
            "promotion": promotion,
        }
    )


def complete(config: Config, stage: str, **facts: Any) -> Path:
    """The folder of a step, as if it had run."""
    item = pipeline.plan(config)[stage]
    item.folder.mkdir(parents=True, exist_ok=True)
    start = Manifest.start(stage, item.key, item.step.version, item.slice, {}, 0)
    write_manifest(item.folder, start.finish(facts=facts))
    return item.folder


def write_trained(config: Config, seed: int, catalogue: Path) -> Path:
    """A student whose adapter was drawn, not trained."""
    folder = complete(config, "train")
    base = resolve_base_model(config.student.base_model)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), config.student, None, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.15)
    pairs = pipeline.plan(config)["prefer"].folder.name
    info = info_of(base, config.student, 2, "orpo", {"prefer": pairs})
    write_student(folder, model, load_tokenizer(base), info, catalogue)
    return folder


@pytest.fixture(scope="module")
def store(base_folder: Path, tmp_path_factory: pytest.TempPathFactory, actors_here: None) -> Path:
    """Cases whose answers are what the good student says of most of them; two students."""
    store = tmp_path_factory.mktemp("store")
    made = {number: config(store, base_folder, number) for number in (GOOD, BAD)}
    cases = complete(made[GOOD], "cases")
    complete(made[GOOD], "teach")
    prefer = complete(made[GOOD], "prefer", teacher="1a2b3c4d5e6f")
    pq.write_table(pa.table({"preference_id": ["pair-1"]}), prefer / "train.parquet")
    catalogue = cases / "catalogue.parquet"
    Catalogue(Label(key, name, (key,), (), ()) for key, name in LABELS.items()).write(catalogue)
    folders = {number: write_trained(each, number, catalogue) for number, each in made.items()}
    ranker = Ranker(load_student(folders[GOOD], "cpu"), NAMES, top_k=2)
    rows, ids = [], list(LABELS)
    for number, (note, found) in enumerate(zip(NOTES, ranker.rank(NOTES), strict=True)):
        label = found.labels[1 if number % 7 == 0 else 0]
        split = "validation" if number % 2 else "test"
        known = {"note": note, "split": split, "label_id": ids[label], "seen": True}
        rows.append(blank_case(f"case-{number:02d}", "simulated") | known)
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), cases / "cases.parquet")
    for each in made.values():
        progress = Progress()
        pipeline.run_steps(each, pipeline.needed_for("calibrate", each), None, progress)
    return store


@pytest.fixture(scope="module", params=KINDS)
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    with store_uri(request.param, file) as found:
        yield found


def promoted(
    store: Path, base: Path, uri: str, student: int, *, force: bool = False, **promotion: Any
) -> Decision:
    tracking = {"enabled": False, "uri": uri}
    made = config(store, base, student, **promotion).model_dump() | {"tracking": tracking}
    return promote(Config.model_validate(made), lambda line: None, force=force)


def test_better_ones_are_promoted_worse_ones_are_not(
    store: Path, base_folder: Path, uri: str
) -> None:
    registry = Registry(uri)
    first = promoted(store, base_folder, uri, BAD)
    assert (first.version, first.champion, first.reason) == (1, True, "there was no champion")
    better = promoted(store, base_folder, uri, GOOD)
    assert (better.version, better.champion, better.against) == (2, True, 1)
    assert better.interval is not None
    assert better.interval.low > 0
    assert better.interval.n == 18
    assert better.p_value is not None
    assert better.p_value <= 0.025
    assert "of 18 groups" in better.reason
    worse = promoted(store, base_folder, uri, BAD)
    assert (worse.version, worse.champion, worse.against) == (1, False, 2)
    assert worse.interval is not None
    assert worse.interval.high < 0
    again = promoted(store, base_folder, uri, GOOD)
    assert (again.version, again.champion) == (2, True)
    aliases = {v.number: v.aliases for v in registry.versions("mint-text")}
    assert aliases == {1: ("challenger",), 2: ("champion",)}
    assert registry.roll_back("mint-text").number == 1
    registry.promote(registry.versions("mint-text")[0])
    forced = promoted(store, base_folder, uri, BAD, force=True)
    assert forced.champion
    champion = registry.champion("mint-text")
    assert champion is not None
    assert champion.number == 1
    assert champion.tags["mint_ray.teacher"] == "1a2b3c4d5e6f"
    assert len(champion.tags["mint_ray.pairs_sha256"]) == 64


def test_what_was_promoted_predicts_with_its_calibration(
    store: Path, base_folder: Path, tmp_path: Path
) -> None:
    made = config(store, base_folder, GOOD)
    folder = pipeline.plan(made)["calibrate"].folder
    calibration = read_calibration(folder)
    assert calibration is not None
    assert (calibration.groups, calibration.cases) == (18, 18)
    assert set(calibration.measured["after"]) > {"nll", "ece", "coverage", "set_size"}
    cases = pipeline.plan(made)["cases"].folder / "cases.parquet"
    predict(folder, cases, tmp_path / "out.parquet", top_k=2)
    calibrated = pq.read_table(tmp_path / "out.parquet").to_pylist()
    source = pipeline.plan(made)["train"].folder
    notes = pq.read_table(cases)["note"].to_pylist()
    plain = Ranker(load_student(source, "cpu"), NAMES, top_k=2).rank(notes)
    assert [row["label_id"] for row in calibrated] == [
        list(LABELS)[label] for found in plain for label in found.labels
    ]
    first = [found.probabilities[0] for found in plain]
    assert calibration.temperature != 1
    # A temperature above 1 flattens, one below 1 sharpens.
    assert all(
        (row["probability"] < p) == (calibration.temperature > 1)
        for row, p in zip(calibrated[::2], first, strict=True)
    )
    inside = calibration.contains(np.array([row["probability"] for row in calibrated]))
    assert [row["in_set"] for row in calibrated] == inside.tolist()
    warmer = Ranker(
        load_student(source, "cpu"), NAMES, top_k=2, temperature=calibration.temperature
    )
    sizes = [
        calibration.set_size(np.array(found.scored), len(NAMES)) for found in warmer.rank(notes)
    ]
    assert [row["set_size"] for row in calibrated[::2]] == sizes
    assert max(sizes) > 2  # more than is listed
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.facts["student"] == source.name


def test_too_few_groups_make_no_champion_and_say_so(
    store: Path, base_folder: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert promoted(store, base_folder, uri, BAD).champion
    few = {"evaluation": {"bootstrap_samples": 200, "max_cases": 4}}
    made = config(store, base_folder, GOOD).model_dump() | {"tracking": {"uri": uri}} | few
    better = Config.model_validate(made)
    pipeline.run_steps(better, pipeline.needed_for("calibrate", better), None, Progress())
    decision = promote(better, lambda line: None)
    assert not decision.champion
    assert "fewer than 6 groups" in decision.reason
    assert promote(better, lambda line: None, force=True).champion
