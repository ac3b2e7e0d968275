"""Teachers fit and score on the device that they are given, with no tensor elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import ViltConfig, ViltForQuestionAnswering

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.config.teacher import ClipConfig, TeacherConfig
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.clip import contrastive
from mint_ray.teachers.clip.contrastive import Pairs, fit_space
from mint_ray.teachers.faces import fit_cases, fit_reader
from mint_ray.teachers.faces.reader import FaceReader
from mint_ray.teachers.fusion import fit, teacher
from mint_ray.teachers.fusion.network import FusionNetwork
from mint_ray.teachers.gestaltmml import fit as gestalt_fit
from mint_ray.teachers.gestaltmml import teacher as gestalt_teacher
from tests.teachers.conftest import columns, invented_annotations, simulated_table
from tests.teachers.gestaltmml.test_gestaltmml import CASES, CATALOGUE, SIZES, run_of, tokenizer
from tests.teachers.pretend_gpu import pretended_gpu


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A pretended GPU that `pick_device` gives to the teachers."""
    with pretended_gpu(monkeypatch) as device:
        for module in (contrastive, fit_cases, fit, teacher, gestalt_fit, gestalt_teacher):
            monkeypatch.setattr(module, "pick_device", lambda: device)
        yield device


def test_the_pretended_gpu_refuses_what_a_gpu_refuses(gpu: torch.device) -> None:
    layer, elsewhere = torch.nn.Linear(3, 2).to(gpu), torch.ones(4, 3)
    assert layer(elsewhere.to(gpu)).device == gpu
    with pytest.raises(RuntimeError, match="device"):
        layer(elsewhere)
    with pytest.raises(TypeError, match="on the CPU"):
        layer(elsewhere.to(gpu)).detach().numpy()


def test_fusion_fits_and_scores_on_its_device(
    gpu: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: set[tuple[str, torch.device]] = set()

    def watched(kind: type[torch.nn.Module]) -> None:
        forward = kind.forward

        def record(module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = forward(module, batch)
            parts = output if isinstance(output, tuple) else (output,)
            computed.update((kind.__name__, part.device) for part in parts)
            return output

        monkeypatch.setattr(kind, "forward", record)

    watched(FaceReader)
    watched(FusionNetwork)
    saved: list[teacher.FusionParts] = []
    monkeypatch.setattr(fit, "save_fusion", lambda out, parts, settings: saved.append(parts))
    monkeypatch.setattr(fit_reader, "BATCH", 8)
    annotations = invented_annotations()
    cases = simulated_table(annotations, 4, seed=1)
    assert "validation" in cases["split"].to_pylist()  # scored after the fit
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    settings = TeacherConfig(
        hidden=8, epochs=1, batch_size=16, simulated_per_label=1, face_samples=24, face_epochs=1
    )
    reports: list[dict[str, float]] = []
    fit.fit_teacher(
        cases, catalogue, annotations, load_ontology(), settings, 0, tmp_path, reports.append
    )
    assert len(reports) == 1
    assert computed == {("FaceReader", gpu), ("FusionNetwork", gpu)}
    modules = (saved[0].network, saved[0].reader)
    assert {tensor.device for m in modules for tensor in m.state_dict().values()} == {gpu}


def test_the_joint_space_of_clip_is_fitted_on_its_device(gpu: torch.device) -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(12, 2, 6)), rng.normal(size=(12, 5))
    labels = np.arange(12) % 3
    pairs = Pairs(
        images.astype(np.float32),
        labels,
        np.ones(12),
        texts.astype(np.float32),
        np.ones(12, dtype=bool),
    )
    prompts = rng.normal(size=(3, 2, 5)).astype(np.float32)
    settings = TeacherConfig(name="clip", clip=ClipConfig(width=8, epochs=1))
    space = fit_space(pairs, prompts, None, settings, 0, lambda metrics: None)
    assert space.image.shape == (8, 6)


def test_gestaltmml_trains_and_scores_on_its_device(gpu: torch.device, tmp_path: Path) -> None:
    words = tokenizer()
    model = ViltForQuestionAnswering(ViltConfig(**SIZES, vocab_size=len(words), num_labels=4))
    parts = gestalt_teacher.GestaltParts(CATALOGUE, model, words, np.arange(4), ("terms",), 40, 64)
    rows = [row for row in CASES if row["split"] == "train"][:6]
    settings = run_of(tmp_path, epochs=1, batch_size=6).teacher.gestaltmml
    reports: list[dict[str, float]] = []
    train = pa.Table.from_pylist(rows, CASE_SCHEMA)
    gestalt_fit._train(parts, train, settings, 0, reports.append)
    assert len(reports) == 1
    logits, _ = gestalt_teacher.GestaltClassifier(parts).logits(columns(rows))
    assert logits.shape == (6, 4)
    assert {tensor.device for tensor in model.parameters()} == {gpu}
