"""Compared systems: their runs, the names of runs in files, titles, order, and controls."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Perturbation(StrEnum):
    """A change of the tested images that a system is measured under."""

    STAIN = "stain"
    """Haematoxylin and eosin are shifted."""
    SHUFFLED = "shuffled"
    """Every case shows the image of another one."""


@dataclass(frozen=True)
class SystemRun:
    """One way in which one system answers the tested cases."""

    system: str
    """Name of the system in files: `teacher`, `orpo`, ..."""
    perturbation: Perturbation | None = None
    free: bool = False
    """The answer is generated freely instead of chosen from the catalogue."""

    @property
    def name(self) -> str:
        """Name in `predictions.parquet` and `metrics.json`: `orpo`, `orpo_generated`."""
        parts = [self.system, self.perturbation, "generated" if self.free else None]
        return "_".join(part for part in parts if part)


SYSTEMS: dict[str, str] = {
    "majority": "Majority",
    "neighbours": "Nearest patients",
    "knowledge": "Annotations",
    "stacked": "Stacked evidence",
    "base": "Base model",
    "larger": "Larger model",
    "sft": "SFT student",
    "sft_gold": "SFT on answers",
    "sft_lists": "SFT on lists",
    "sft_cft": "SFT + CFT student",
    "sft_rcft": "SFT + RCFT student",
    "dpo": "DPO student",
    "dpo_cft": "DPO + CFT student",
    "dpo_rcft": "DPO + RCFT student",
    "orpo_l0": "ORPO, λ = 0",
    "orpo": "ORPO student",
    "trl_orpo": "ORPO by TRL",
    "orpo_cft": "ORPO + CFT student",
    "orpo_rcft": "ORPO + RCFT student",
    "cft": "CFT student",
    "rcft": "RCFT student",
    "fused": "Student and look-ups",
    "retriever": "Retriever alone",
    "chat": "Chat model",
    "cot": "Chain of thought",
    "rag": "Documents",
    "rag_cot": "Documents, then questions",
    "cot_rag": "Questions, then documents",
    "cot_rag_late": "Questions, documents at the end",
    "teacher": "Teacher",
    "mean_colour": "Mean colour",
}
"""Title of each system, in the order of tables and plots."""

LOOK_UPS = ("neighbours", "knowledge", "stacked")
"""Systems that are teachers of terms alone, fitted within a minute to the cases of the run."""

CALIBRATING = frozenset({"cft", "rcft"})
"""Objectives that calibrate a student that is already aligned."""

FREE = "_generated"
"""End of the name of a system whose answers are generated freely."""

VARIANTS: dict[str, str] = {
    FREE: "generated",
    "_stain": "stain shifted",
    "_shuffled": "images shuffled",
}
"""Suffix of a system's name to the words for the change; `orpo_stain` is a variant of `orpo`."""

CONTROLS: dict[str, str] = {
    "mean_colour": "Mean and deviation of red, green and blue alone, of the training images, in a "
    "logistic regression: what a system gains by colour without any shape.",
    "_stain": "The same system on test images whose haematoxylin and eosin were shifted, as "
    "another laboratory would stain them: what it reads should survive.",
    "_shuffled": "The same system where each test case shows the image of another one: what "
    "remains above chance was not read from the image.",
}
"""Name of a control, or the suffix of its name, to one sentence on its meaning."""


def student_system(objective: str, initial: str | None = None) -> str:
    """Return the system name of a trained student.

    The name of a calibrated student starts with the objective of the student that it continued
    from: `orpo_rcft`.

    Args:
        objective: with which the student was trained.
        initial: objective of the student that it continued from; None where that is unknown or
            it started from the base model.
    """
    return f"{initial}_{objective}" if objective in CALIBRATING and initial else objective


def split_variant(system: str) -> tuple[str, str]:
    """Split a name read from a file into system and suffix: ("orpo", "_stain").

    The opposite of `SystemRun.name`.
    """
    for suffix in VARIANTS:
        base, matched, tail = system.partition(suffix)
        if matched and base:
            return base, matched + tail
    return system, ""


def is_control(system: str) -> bool:
    """Return whether a system is a control, which the headline results leave out.

    A control shows on what the answers of other systems may depend.
    """
    base, end = split_variant(system)
    return end in CONTROLS or base in CONTROLS


def control_meaning(system: str) -> str:
    """Return one sentence on the meaning of a control."""
    base, end = split_variant(system)
    return CONTROLS.get(end) or CONTROLS[base]


def system_title(system: str) -> str:
    """Return the title of a system; `orpo_generated` becomes "ORPO student, generated"."""
    base, end = split_variant(system)
    for variant, words in VARIANTS.items():
        if end.startswith(variant) and base in SYSTEMS:
            return f"{SYSTEMS[base]}, {words}{end.removeprefix(variant)}"
    return SYSTEMS.get(system, system)


def in_order(systems: Iterable[str]) -> list[str]:
    """Return the system names in the order of tables.

    It is the order of `SYSTEMS`, then unknown systems by name, then controls.
    """
    positions = {name: position for position, name in enumerate(SYSTEMS)}

    def sort_key(system: str) -> tuple[bool, int, str]:
        control = is_control(system)
        name = split_variant(system)[0] if control else system
        return control, positions.get(name, len(positions)), system

    return sorted(systems, key=sort_key)
