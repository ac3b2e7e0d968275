"""Invented preference pairs, and settings of a short training on them; imports no model code."""

from pathlib import Path
from typing import Any

from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.tasks.prompts import answer_message, build_prompt

NAMES = (
    "Marfan syndrome",
    "Marfan syndrome (atypical)",
    "Noonan syndrome 1",
    "Noonan syndrome 10",
    "Kabuki syndrome",
    "Alpha-thalassemia",
    "Cri-du-chat disorder",
    "Deafness, autosomal recessive 4",
    "Williams-Beuren syndrome (WBS)",
    "Stickler syndrome",
)
LABELS = {f"OMIM:{number:06d}": name for number, name in enumerate(NAMES)}


def pair_row(number: int, **changes: Any) -> dict[str, Any]:
    """An invented preference pair; the chosen names depend on its number."""
    first = number % len(NAMES)
    row = {
        "preference_id": f"pair-{number:03d}",
        "case_id": f"case-{number:03d}",
        "group_id": f"group-{number:03d}",
        "split": "train",
        "prompt": build_prompt(f"A patient with finding {first}. " * (1 + number % 3), k=2),
        "chosen": answer_message([NAMES[first], NAMES[first - 1]]),
        "rejected": answer_message([NAMES[first - 3], NAMES[first - 5], NAMES[first - 4]]),
    }
    return row | changes


def labelled_row(number: int, **changes: Any) -> dict[str, Any]:
    """A pair whose case has a known answer, the first name of its chosen list."""
    first = number % len(NAMES)
    ids = list(LABELS)
    candidates = [ids[(first + step) % len(ids)] for step in (0, 9, 7, 5, 6)]
    return pair_row(number, label_id=ids[first], candidates=sorted(candidates), **changes)


def student_config(base: Path, **changes: Any) -> StudentConfig:
    """The tiny base model with a small adapter."""
    return StudentConfig(base_model=str(base), lora_rank=4, lora_alpha=8, **changes)


def training_config(**changes: Any) -> TrainingConfig:
    """A short run without DeepSpeed."""
    settings: dict[str, Any] = {
        "learning_rate": 1e-2,
        "batch_size": 4,
        "epochs": 1,
        "deepspeed": "off",
        "prefix_sharing": "on",
        "checkpoint_steps": 100,
        "precision": "float32",
    }
    return TrainingConfig(**settings | changes)
