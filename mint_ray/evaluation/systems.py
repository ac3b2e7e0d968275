"""What the compared systems are called, and which of them are controls."""

from collections.abc import Iterable

SYSTEMS: dict[str, str] = {
    "majority": "Majority",
    "base": "Base model",
    "sft": "SFT student",
    "sft_cft": "SFT + CFT student",
    "sft_rcft": "SFT + RCFT student",
    "dpo": "DPO student",
    "dpo_cft": "DPO + CFT student",
    "dpo_rcft": "DPO + RCFT student",
    "orpo": "ORPO student",
    "orpo_cft": "ORPO + CFT student",
    "orpo_rcft": "ORPO + RCFT student",
    "cft": "CFT student",
    "rcft": "RCFT student",
    "teacher": "Teacher",
    "mean_colour": "Mean colour",
}
"""System name to the words for it, in the order of tables and plots."""

CALIBRATING = frozenset({"cft", "rcft"})
"""Objectives that calibrate a student that is already aligned."""

VARIANTS: dict[str, str] = {
    "_generated": "generated",
    "_stain": "stain shifted",
    "_shuffled": "images shuffled",
}
"""End of a system's name to what was done otherwise; `orpo_stain` is a variant of `orpo`."""

CONTROLS: dict[str, str] = {
    "mean_colour": "Mean and deviation of red, green and blue alone, of the training images, in a "
    "logistic regression: what a system gains by colour without any shape.",
    "_stain": "The same system on test images whose haematoxylin and eosin were shifted, as "
    "another laboratory would stain them: what it reads should survive.",
    "_shuffled": "The same system where each test case shows the image of another one: what "
    "remains above chance was not read from the image.",
}
"""A control, or the end of its name, to one sentence on what it tells."""


def student_system(objective: str, initial: str | None = None) -> str:
    """System name of a trained student; calibration is named after what it continued from.

    Args:
        objective: what the student was trained with.
        initial: objective of the student that it continued from; None where that is unknown or
            it started from the base model.
    """
    return f"{initial}_{objective}" if objective in CALIBRATING and initial else objective


def split_variant(system: str) -> tuple[str, str]:
    """A system's name without its variant, and the variant's end of it: ("orpo", "_stain")."""
    for end in VARIANTS:
        base, found, rest = system.partition(end)
        if found and base:
            return base, found + rest
    return system, ""


def is_control(system: str) -> bool:
    """Whether a system only tells what others may rest on; it stays out of headlines."""
    base, end = split_variant(system)
    return end in CONTROLS or base in CONTROLS


def control_meaning(system: str) -> str:
    """One sentence on what a control tells."""
    base, end = split_variant(system)
    return CONTROLS.get(end) or CONTROLS[base]


def system_title(system: str) -> str:
    """Words for a system; `orpo_generated` becomes "ORPO student, generated"."""
    base, end = split_variant(system)
    for variant, words in VARIANTS.items():
        if end.startswith(variant) and base in SYSTEMS:
            return f"{SYSTEMS[base]}, {words}{end.removeprefix(variant)}"
    return SYSTEMS.get(system, system)


def in_order(systems: Iterable[str]) -> list[str]:
    """System names in the order of tables: as in `SYSTEMS`, unknown ones by name, controls last."""
    places = {name: place for place, name in enumerate(SYSTEMS)}

    def place_of(system: str) -> tuple[bool, int, str]:
        control = is_control(system)
        name = split_variant(system)[0] if control else system
        return control, places.get(name, len(places)), system

    return sorted(systems, key=place_of)
