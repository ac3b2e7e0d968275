"""Free generation of answers by a student, not constrained to the catalogue's names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from mint_ray.config.evaluation import SamplingConfig
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.encoding.vision_inputs import image_inputs, token_inputs
from mint_ray.students.student import Student
from mint_ray.tasks.task import Task


@dataclass(frozen=True)
class Sampling:
    """Settings of the draw of tokens; the defaults are the paper's (MINT, application 1)."""

    temperature: float = 0.8
    top_p: float = 0.8
    top_k: int = 10
    seed: int = 0


PAPER = {"note": Sampling(), "image": Sampling(temperature=0.7, top_p=0.6)}
"""Settings of the paper's two applications (arXiv 2505.05736), by the student's input."""


def sampling_of(settings: SamplingConfig, task: Task) -> Sampling:
    """Return the settings of a draw, with the paper's where none are given; the seed is 0."""
    return replace(PAPER[task.input_modality], **settings.model_dump(exclude_none=True))


def generate(
    student: Student,
    inputs: Sequence[str | bytes],
    max_new_tokens: int,
    sampling: Sequence[Sampling] = (),
    names: Sequence[str] = (),
) -> list[str]:
    """Return the student's answer to each case, as text.

    Args:
        student: a loaded student or base model.
        inputs: clinical notes (untrusted text), or encoded images for a student of images.
        max_new_tokens: longest answer, in tokens.
        sampling: of each answer, whose tokens are drawn with its own seed, so that an answer does
            not depend on those before it. Empty for greedy decoding.
        names: the catalogue's names, among which the prompt of a student of images lets it choose.

    Raises:
        ConfigError: `student.max_prompt_length` has no room for the instruction.
    """
    draws: Sequence[Sampling | None] = sampling or [None] * len(inputs)
    return [
        _answer(student, student.prompt(item, names), max_new_tokens, draw)
        for item, draw in zip(inputs, draws, strict=True)
    ]


def _answer(
    student: Student, prompt: Prompt, max_new_tokens: int, sampling: Sampling | None
) -> str:
    ids = torch.tensor([prompt.ids], device=student.device)
    draw_settings = (
        {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling is None
        else {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
        }
    )
    if sampling is not None:
        torch.manual_seed(sampling.seed)
    with torch.inference_mode():
        output = student.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            pad_token_id=student.tokenizer.pad_token_id,
            **draw_settings,
            **image_inputs([prompt.vision_inputs], student.model),
            **token_inputs([prompt.vision_inputs], [len(prompt.ids)]),
        )
    text: str = student.tokenizer.decode(output[0, len(prompt.ids) :], skip_special_tokens=True)
    return text.strip()
