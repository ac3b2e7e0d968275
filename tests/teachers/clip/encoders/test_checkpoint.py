"""A CLIP checkpoint of transformers as the teacher's encoders; tiny and random."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, LlamaConfig, PreTrainedTokenizerFast

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.images.decode import open_tile
from mint_ray.teachers.base import load_teacher
from mint_ray.teachers.clip.encoders.checkpoint import CheckpointEncoders, PixelMaker
from mint_ray.teachers.clip.fit import fit_clip
from tests.teachers.conftest import columns
from tests.teachers.tissue import CATALOGUE, UNSEEN, cases, run_config, write_cases

TEMPLATES = ("an image of {}", "nuclei of {}")
WORDS = ["an", "image", "of", "nuclei", "Dotted", "Spotted", "Blotted", "Plain", "gland"]
END = "<eos>"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two tiny towers with a tokenizer of words."""
    folder = tmp_path_factory.mktemp("checkpoint")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<bos>", "<unk>", *WORDS, END])}
    end = vocabulary[END]
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single=f"<bos> $A {END}", special_tokens=[("<bos>", 1), (END, end)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token=END, pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)  # fmt: skip
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
             "num_attention_heads": 4, "initializer_factor": 3.0}  # fmt: skip
    tokens = {"bos_token_id": 1, "eos_token_id": end, "pad_token_id": 0}
    lengths = {"vocab_size": len(vocabulary), "max_position_embeddings": 16}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**sizes, **tokens, **lengths},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    settings = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cases(tmp_path_factory.mktemp("cases"), cases())


def settings(checkpoint: Path, fit: str, name: str = "clip") -> Config:
    return run_config(name, checkpoint=str(checkpoint), fit=fit, templates=TEMPLATES)


def by_hand(checkpoint: Path, rows: list[dict[str, Any]]) -> np.ndarray:
    """Softmax of scaled cosine similarities to the mean directions of each label's prompts."""
    model, encoders = (
        CLIPModel.from_pretrained(checkpoint).eval(),
        CheckpointEncoders(str(checkpoint), None),
    )
    images = [open_tile(row["image"]) for row in rows]
    pixels = PixelMaker({"size": {"shortest_edge": 36}}, 32)(images)
    unit = torch.nn.functional.normalize
    with torch.inference_mode():
        seen = unit(model.get_image_features(pixel_values=pixels).pooler_output, dim=1)
        labels = []
        for name in CATALOGUE.names:
            tokens = encoders._tokenizer(
                [template.format(name) for template in TEMPLATES], padding=True, return_tensors="pt"
            )
            found = model.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).pooler_output
            labels.append(unit(unit(found, dim=1).mean(0), dim=0))
        logits = model.logit_scale.exp() * seen @ torch.stack(labels).T
        return torch.log_softmax(logits, 1).numpy()


def test_zero_shot_is_the_prompt_ensemble(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    reports: list[dict[str, float]] = []
    metrics = fit_clip(source, settings(checkpoint, "none"), tmp_path, reports.append)
    rows = cases(2, first=500)
    scores = load_teacher(tmp_path).score(columns(rows))
    np.testing.assert_allclose(scores, by_hand(checkpoint, rows), atol=1e-4)
    assert reports == []
    assert metrics.keys() >= {"validation.top1"}


@pytest.mark.parametrize("fit", ["probe", "contrastive"])
@pytest.mark.parametrize("name", ["clip", "clip_fusion"])
def test_a_fit_learns_and_is_found_again(
    checkpoint: Path, source: Path, tmp_path: Path, fit: str, name: str
) -> None:
    reports: list[dict[str, float]] = []
    fit_clip(source, settings(checkpoint, fit, name), tmp_path, reports.append)
    assert len(reports) == {"probe": 1, "contrastive": 6}[fit]
    scores = load_teacher(tmp_path).score(columns(cases(2, first=500)))
    np.testing.assert_allclose(np.exp(scores.astype(float)).sum(1), 1.0, atol=1e-5)
    # Zero-shot gives a label without an image its chance.
    assert len(np.unique(scores[:, CATALOGUE.names.index(UNSEEN)])) == len(scores)


def test_zero_shot_needs_encoders_that_know_images_and_texts(
    checkpoint: Path, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="fit=none needs a CLIP checkpoint"):
        fit_clip(source, run_config("clip", fit="none"), tmp_path, print)
    with pytest.raises(ConfigError, match="does not learn from descriptions"):
        fit_clip(source, settings(checkpoint, "none", "clip_fusion"), tmp_path, print)


def test_changed_weights_are_refused(checkpoint: Path, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in checkpoint.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    fit_clip(source, settings(copy, "none"), tmp_path / "fit", print)
    model = CLIPModel.from_pretrained(copy)
    with torch.no_grad():
        model.visual_projection.weight += 1
    model.save_pretrained(copy)
    with pytest.raises(TeacherError, match="other encoders"):
        load_teacher(tmp_path / "fit")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="expected a CLIP model, found llama"):
        CheckpointEncoders(str(tmp_path), None)


def test_pickled_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(CLIPModel.from_pretrained(checkpoint).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(TeacherError, match="safetensors"):
        CheckpointEncoders(str(tmp_path), None)


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="cannot be loaded"):
        CheckpointEncoders(str(tmp_path), None)


@pytest.mark.parametrize("size", [(16, 300), (300, 16), (32, 32), (1000, 999)])
def test_pixels_of_any_shape_become_a_square(size: tuple[int, int]) -> None:
    from PIL import Image

    made = PixelMaker({"size": {"shortest_edge": 36}}, 32)([Image.new("RGB", size, "pink")])
    assert made.shape == (1, 3, 32, 32)
    assert torch.isfinite(made).all()
