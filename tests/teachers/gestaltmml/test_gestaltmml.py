"""The teacher `gestaltmml`, with a tiny random ViLT."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    ViltConfig,
    ViltForMaskedLM,
    ViltForQuestionAnswering,
)

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.common.partial_answers import is_answered
from mint_ray.config.config import Config
from mint_ray.config.teacher import GestaltMMLConfig
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import floor_of, load_teacher
from mint_ray.teachers.gestaltmml import network
from mint_ray.teachers.gestaltmml.fit import fit_gestaltmml
from mint_ray.teachers.gestaltmml.inputs import InputMaker
from mint_ray.teachers.gestaltmml.network import class_logits, load_checkpoint
from mint_ray.teachers.gestaltmml.teacher import NOTHING_TO_JUDGE
from mint_ray.teachers.registry import epochs_of, find_fitter
from tests.teachers.conftest import columns, top1

CATALOGUE = Catalogue(
    Label(f"OMIM:90000{i}", f"Invented disease {i}", (f"OMIM:90000{i}",), (), ()) for i in range(6)
)
TERMS = ("HP:0001250", "HP:0000508", "HP:0000365", "HP:0000252")  # of the four first diseases
WORDS = ["seizure", "ptosis", "hearing", "impairment", "microcephaly", "girl", "patient", "."]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 64,
    "patch_size": 16,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.15,
}


def face(label: int, seed: int) -> bytes:
    """A picture whose brightness tells the disease, as far as it tells anything."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(40 + 50 * label, 8, (48, 40, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def case(label: int, number: int, **changes: Any) -> dict[str, Any]:
    return {
        **blank_case(f"case-{label}-{number:02d}", "invented"),
        "split": ("train", "train", "validation", "test")[number % 4],
        "label_id": f"OMIM:90000{label}",
        "label_name": f"Invented disease {label}",
        "terms": [TERMS[label]],
        "image": face(label, 100 * label + number),
        "sex": "female",
        "age": "P6Y",
        **changes,
    }


CASES = [case(label, number) for label in range(4) for number in range(12)]


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    backend.normalizer = normalizers.Lowercase()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


def save(folder: Path, kind: type, n_classes: int = 2) -> Path:
    torch.manual_seed(0)
    words = tokenizer()
    kind(ViltConfig(**SIZES, vocab_size=len(words), num_labels=n_classes)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViLT without a classification head."""
    return save(tmp_path_factory.mktemp("vilt"), ViltForMaskedLM)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `cases`."""
    folder = tmp_path_factory.mktemp("cases")
    pq.write_table(pa.Table.from_pylist(CASES, CASE_SCHEMA), folder / "cases.parquet")
    CATALOGUE.write(folder / "catalogue.parquet")
    return folder


def run_of(checkpoint: Path, **settings: Any) -> Config:
    section = {
        "checkpoint": str(checkpoint),
        "image_side": 64,
        "epochs": 12,
        "batch_size": 12,
        "learning_rate": 4e-3,
        **settings,
    }
    return Config.model_validate({"teacher": {"name": "gestaltmml", "gestaltmml": section}})


@pytest.fixture(scope="module")
def trained(
    pretrained: Path, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, float], list[dict[str, float]]]:
    """Trained once for all tests: folder, metrics and reports."""
    out = tmp_path_factory.mktemp("teacher")
    reports: list[dict[str, float]] = []
    metrics = fit_gestaltmml(source, run_of(pretrained), out, reports.append)
    return out, metrics, reports


def test_training_learns_from_faces_and_words(
    trained: tuple[Path, dict[str, float], list[dict[str, float]]], pretrained: Path
) -> None:
    folder, metrics, reports = trained
    assert len(reports) == epochs_of(run_of(pretrained)) == 12
    assert reports[-1]["loss"] < 0.5 * reports[0]["loss"]
    assert metrics["validation.top1"] > 0.8
    teacher = load_teacher(folder)
    assert teacher.revision.startswith("gestaltmml@")
    tested = [row for row in CASES if row["split"] == "test"]
    assert top1(teacher, tested) > 0.8
    assert top1(teacher, [{**row, "image": None} for row in tested]) > 0.8
    assert top1(teacher, [{**row, "terms": []} for row in tested]) > 0.4
    scores = teacher.score(columns(tested))
    assert np.exp(scores).sum(axis=1) == pytest.approx(1.0, abs=1e-3)
    answered = is_answered(scores, floor_of(teacher))
    assert answered.all(axis=0).tolist() == [True] * 4 + [False] * 2


def test_scores_are_the_same_in_any_company_and_again(
    trained: tuple[Path, dict[str, float], list[dict[str, float]]],
) -> None:
    rows = [CASES[0], {**CASES[13], "image": None}, {**CASES[26], "terms": []}]
    one, two = load_teacher(trained[0]), load_teacher(trained[0])
    together = one.score(columns(rows))
    np.testing.assert_array_equal(two.score(columns(rows)), together)
    alone = np.concatenate([one.score(columns([row])) for row in rows])
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_an_unusable_row_has_a_reason_and_spares_the_others(
    trained: tuple[Path, dict[str, float], list[dict[str, float]]],
) -> None:
    rows = [
        {**CASES[0], "image": b"no image"},
        {**CASES[0], "image": None, "terms": [], "note": "Not read by this teacher."},
        CASES[0],
    ]
    teacher = load_teacher(trained[0])
    scores = teacher.score(columns(rows))
    assert np.isnan(scores).all(axis=1).tolist() == [True, True, False]
    assert teacher.unusable_reasons(columns(rows)) == ["image_unreadable", NOTHING_TO_JUDGE, ""]
    assert teacher.score(columns([])).shape == (0, len(CATALOGUE))


def test_the_logits_are_those_of_the_model_itself(pretrained: Path) -> None:
    model, words = load_checkpoint(GestaltMMLConfig(checkpoint=str(pretrained)), 4)
    maker = InputMaker(words, load_ontology(), ["demographics", "terms"], 40, 80)
    batch = columns(CASES[:3])
    squares: list[Any] = [maker.open(image) for image in batch["image"]]
    inputs = maker.make([maker.words(batch, row) for row in range(3)], squares)
    own = model.eval()(
        input_ids=inputs.tokens,
        attention_mask=inputs.is_token,
        pixel_values=inputs.pixels.float() / 127.5 - 1,
        pixel_mask=torch.ones(3, 80, 80),
    ).logits
    torch.testing.assert_close(class_logits(model, inputs), own, atol=1e-5, rtol=1e-4)


def test_what_is_not_there_does_not_count(pretrained: Path) -> None:
    model, words = load_checkpoint(GestaltMMLConfig(checkpoint=str(pretrained)), 4)
    maker = InputMaker(words, load_ontology(), ["terms"], 40, 64)
    black = Image.new("RGB", (64, 64))
    blind, dark = (class_logits(model.eval(), maker.make(["ptosis"], [i])) for i in (None, black))
    assert (blind - dark).abs().max() > 1e-4
    inputs = maker.make(["ptosis"], [None])
    inputs.pixels[:] = 200
    torch.testing.assert_close(class_logits(model, inputs), blind)


@pytest.mark.parametrize("as_file", [True, False])
def test_a_users_classifier_and_label_file_are_a_teacher(
    source: Path, tmp_path: Path, as_file: bool
) -> None:
    checkpoint = save(tmp_path / "own", ViltForQuestionAnswering, n_classes=3)
    labels = ["omim_900004", "Invented disease 1", "Unheard of"]
    (tmp_path / "labels.txt").write_text("\n".join(labels) + "\n")
    settings = {"labels": str(tmp_path / "labels.txt")} if as_file else {}
    if not as_file:
        config = ViltConfig.from_pretrained(checkpoint)
        config.id2label = dict(enumerate(labels))
        config.save_pretrained(checkpoint)
    run = run_of(checkpoint, fit="none", **settings)
    reports: list[dict[str, float]] = []
    metrics = fit_gestaltmml(source, run, tmp_path / "teacher", reports.append)
    assert len(reports) == epochs_of(run) == 1
    assert metrics["unknown_classes"] == 1
    teacher = load_teacher(tmp_path / "teacher")
    [row] = teacher.score(columns(CASES[:1]))
    answered = [teacher.labels[i] for i in np.flatnonzero(is_answered(row, floor_of(teacher)))]
    assert answered == ["OMIM:900001", "OMIM:900004"]


def test_what_cannot_be_a_teacher_says_why(source: Path, pretrained: Path, tmp_path: Path) -> None:
    def refused(run: Config, message: str, kind: type[Exception] = TeacherError) -> None:
        with pytest.raises(kind, match=message):
            fit_gestaltmml(source, run, tmp_path / "teacher", lambda metrics: None)

    refused(run_of(tmp_path / "absent"), "cannot be loaded")
    refused(run_of(pretrained, fit="none"), r"expected a classifier with .*use fit=train")
    refused(run_of(pretrained, text_tokens=41), "expected at most 40")
    own = save(tmp_path / "own", ViltForQuestionAnswering, n_classes=3)
    (tmp_path / "labels.txt").write_text("OMIM:900001\n")
    short = run_of(own, fit="none", labels=str(tmp_path / "labels.txt"))
    refused(short, "for the 3 classes .* found 1 lines")
    refused(run_of(own, fit="none"), "found none among 3; name the classes")
    BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                         intermediate_size=8)).save_pretrained(tmp_path / "bert")  # fmt: skip
    refused(run_of(tmp_path / "bert"), "expected a ViLT model, found bert", ConfigError)


def test_pickled_weights_are_not_read(tmp_path: Path, source: Path) -> None:
    own = save(tmp_path / "own", ViltForQuestionAnswering)
    weights = ViltForQuestionAnswering.from_pretrained(own).state_dict()
    (own / "model.safetensors").unlink()
    torch.save(weights, own / "pytorch_model.bin")
    with pytest.raises(TeacherError, match="cannot be loaded"):
        fit_gestaltmml(source, run_of(own), tmp_path / "teacher", lambda metrics: None)


def test_words_are_those_of_the_settings() -> None:
    rows = columns([case(1, 0, note="Drooping lids."), case(1, 0, terms=[], note=" ")])
    everything = InputMaker(None, load_ontology(), ["demographics", "terms", "note"], 40, 64)
    assert everything.words(rows, 0) == "6-year-old girl. Ptosis. Drooping lids."
    assert everything.words(rows, 1) == ""
    assert InputMaker(None, load_ontology(), ["note"], 40, 64).words(rows, 0) == "Drooping lids."


def test_it_is_registered_for_diseases(pretrained: Path) -> None:
    assert find_fitter(run_of(pretrained)).load() is fit_gestaltmml
    assert network.HEAD == "classifier."
