"""Finished students: an adapter folder with everything that is needed to use it.

adapter_model.safetensors, adapter_config.json   the adapter, as PEFT reads it; of full
                                                 fine-tuning model.safetensors, config.json
tokenizer files                                  with the chat template; of a student of images
                                                 the processor's files too
catalogue.parquet                                the labels it may answer, where known
student.json                                     base model, prompt settings, lineage; written
                                                 last
"""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch

from mint_ray.common.devices import Precision, pick_device, pick_dtype
from mint_ray.config.training import StudentConfig
from mint_ray.errors import ConfigError, DataError
from mint_ray.students.encoding.images import ImageEncoder, ShownImage, make_encoder, show
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.encoding.text import Encoder, UnusableRow
from mint_ray.students.models.base_models import BaseModel, load_base_model, resolve_base_model
from mint_ray.students.models.processors import load_readers
from mint_ray.students.models.trained_weights import (
    adapt,
    holds_adapter,
    is_adapted,
    write_weights,
)
from mint_ray.students.student_folder import CATALOGUE, StudentInfo, read_info, write_info
from mint_ray.tasks.prompts import build_image_prompt, build_prompt
from mint_ray.tasks.task import TASKS, Task

logger = logging.getLogger(__name__)


FIRST_ADAPTER = "default"
"""PEFT's name for the first adapter of a model."""


@dataclass(frozen=True)
class Student:
    """A loaded student, or a base model in its place, in evaluation mode.

    `processor` is None for a model of text alone. `adapter` names the student's weights in the
    model; it is None for a base model.
    """

    model: Any
    tokenizer: Any
    info: StudentInfo
    catalogue: Path | None
    processor: Any | None = None
    adapter: str | None = None

    def activate(self) -> None:
        """Select this student's adapter where several share the model (`load_on_shared_base`)."""
        if self.adapter is not None and self.model.active_adapter != self.adapter:
            self.model.set_adapter(self.adapter)

    @property
    def task(self) -> Task:
        """The student's task: input modality, and the form of prompt and answer."""
        return TASKS[self.info.task]

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of prompts, the same as in training."""
        info = self.info
        return make_encoder(
            self.tokenizer, self.processor, info.max_prompt_length, info.max_length, self.task
        )

    def prompt(self, student_input: str | bytes, names: Sequence[str] = ()) -> Prompt:
        """Encode the prompt of a case.

        Args:
            student_input: what the student's task reads: the case's note (str), or its encoded
                image (bytes).
            names: the catalogue's names, which a student of images is to choose among.

        Raises:
            ConfigError: `student.max_prompt_length` has no room for the instruction alone.
            DataError: the image cannot be used.
        """
        if self.task.input_modality == "note":
            return self.note_prompt(cast(str, student_input))
        with self._in_words():
            image = show(student_input)
        return self.image_prompt(image, names)

    def note_prompt(self, note: str) -> Prompt:
        """Encode the prompt of a note (untrusted text); see `prompt`."""
        with self._in_words():
            return self.encoder.prompt(
                build_prompt(note, self.info.k, self.info.prompt_form, self.task)
            )

    def image_prompt(self, image: ShownImage, names: Sequence[str]) -> Prompt:
        """Encode the prompt of an image that is decoded already; see `prompt`."""
        encoder = self.encoder
        assert isinstance(encoder, ImageEncoder)  # no other model is loaded for a task of images
        with self._in_words():
            return encoder.prompt_of_shown(build_image_prompt(names, self.info.k), [image])

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn an encoder's reason into the error of `prompt`."""
        try:
            yield
        except UnusableRow as error:
            if error.reason != "too_long":
                raise DataError(
                    f"expected an image that can be used, found {error.reason}; replace it or "
                    "leave it out",
                    {error.reason: 1},
                ) from error
            raise ConfigError(
                f"student.max_prompt_length={self.info.max_prompt_length}: expected room for the "
                "instruction alone, found too few tokens; raise it"
            ) from error

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        device: torch.device = next(self.model.parameters()).device
        return device


def load_student(folder: Path, device: str | None = None, precision: Precision = "auto") -> Student:
    """Load a finished student folder, its base model included.

    Args:
        folder: output of the `train` step.
        device: torch device; None for a GPU where there is one.
        precision: `auto` is bfloat16 on GPUs that have it, float32 elsewhere.

    Raises:
        TrainingError: the folder is not a finished student, or its base model is missing.
    """
    info = read_info(folder)
    base = resolve_base_model(info.base_model, _hub_revision(info))
    if base.is_local and info.base_revision != base.revision:
        logger.warning(
            "base model %s has revision %s, the student was trained on %s",
            base.reference,
            base.revision,
            info.base_revision,
        )
    torch_device = pick_device(device)
    dtype = pick_dtype(precision, torch_device)
    catalogue = _catalogue_of(folder)
    if not holds_adapter(folder):
        whole = replace(base, path=str(folder), is_local=True)
        return _student(load_base_model(whole, dtype, torch_device), base, info, catalogue)
    model = adapt(load_base_model(base, dtype, torch_device), folder)
    return _student(model.eval(), base, info, catalogue, FIRST_ADAPTER)


def load_on_shared_base(other: Student, folder: Path) -> Student | None:
    """Load a second adapter onto the base model of `other`.

    The students share the base model's weights, so call `activate` before using either. Do not
    call this function while the model is computing.

    Returns:
        The second student; None where the base models differ, or one of them is trained whole.

    Raises:
        TrainingError: the folder is not a finished student.
    """
    info = read_info(folder)
    loaded = other.info
    if (loaded.base_model, loaded.base_revision) != (info.base_model, info.base_revision):
        return None
    if not (is_adapted(other.model) and holds_adapter(folder)):
        return None
    name = f"beside_{len(other.model.peft_config)}"
    other.model.load_adapter(str(folder), adapter_name=name)
    other.model.eval()
    return replace(other, info=info, catalogue=_catalogue_of(folder), adapter=name)


def _catalogue_of(folder: Path) -> Path | None:
    catalogue = folder / CATALOGUE
    return catalogue if catalogue.is_file() else None


def load_base_student(
    student: StudentConfig,
    k: int,
    device: str | None = None,
    precision: Precision = "auto",
    catalogue: Path | None = None,
    task: str = "disease",
) -> Student:
    """Load the base model alone, under a student's prompt settings: the `base` system.

    Args:
        student: base model and length limits.
        k: names that a prompt asks for.
        device: torch device; None for a GPU where there is one.
        precision: `auto` is bfloat16 on GPUs that have it, float32 elsewhere.
        catalogue: `catalogue.parquet` of the labels that it may answer.
        task: name of the task.

    Raises:
        TrainingError: the base model is missing.
        ConfigError: the task's cases are images, which the model does not take.
    """
    base = resolve_base_model(student.base_model, student.revision)
    torch_device = pick_device(device)
    info = StudentInfo(
        base.reference, base.revision, k, student.max_prompt_length, student.max_length, task=task
    )
    check_input_modality(base, TASKS[task])
    return _student(
        load_base_model(base, pick_dtype(precision, torch_device), torch_device),
        base,
        info,
        catalogue,
    )


def _student(
    model: Any,
    base: BaseModel,
    info: StudentInfo,
    catalogue: Path | None,
    adapter: str | None = None,
) -> Student:
    tokenizer, processor = load_readers(base)
    return Student(model, tokenizer, info, catalogue, processor, adapter)


def check_input_modality(base: BaseModel, task: Task) -> None:
    """Refuse a text model for a task of images.

    Raises:
        ConfigError: the task's cases are images, which the model does not take.
    """
    if task.input_modality == "image" and not base.sees_images:
        raise ConfigError(
            f"student.base_model={base.reference}: expected a model that sees images for task "
            f"{task.name}, found a language model of text alone; use `embedded_vision` or another "
            "image-and-text model"
        )


def write_student(
    folder: Path, model: Any, reader: Any, info: StudentInfo, catalogue: Path | None
) -> None:
    """Write a finished student; `student.json` comes last, so half a folder is not a student.

    Args:
        folder: gets the files.
        model: the trained model, with an adapter or whole.
        reader: its tokenizer, or the processor of a student of images.
        info: content of `student.json`.
        catalogue: `catalogue.parquet` to keep with the student, if any.
    """
    write_weights(model, folder)
    reader.save_pretrained(folder)
    if catalogue is not None:
        shutil.copyfile(catalogue, folder / CATALOGUE)
    write_info(folder, info)


def info_of(
    base: BaseModel,
    student: StudentConfig,
    k: int,
    objective: str,
    lineage: Mapping[str, str],
    task: str = "disease",
) -> StudentInfo:
    """Return the record (`student.json`) of a student trained from `base`."""
    return StudentInfo(
        base.reference,
        base.revision,
        k,
        student.max_prompt_length,
        student.max_length,
        objective,
        dict(lineage),
        task,
    )


def _hub_revision(info: StudentInfo) -> str | None:
    return None if Path(info.base_model).is_dir() else info.base_revision
