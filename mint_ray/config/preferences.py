"""Preferences."""

from typing import Literal

from pydantic import Field

from mint_ray.config.base import Fraction, Section


class PreferencesConfig(Section):
    """From ranked labels to chosen and rejected answers."""

    chosen_size: int = Field(10, ge=1)
    """Names in the chosen answer: the teacher's best ones."""
    rejected_size: int = Field(10, ge=1)
    """Names in the rejected answer: the teacher's worst ones of each set."""
    rejected_sets: int = Field(1, ge=1)
    """Pairs per case, which share the chosen answer; set number n takes the n-th lowest
    `rejected_size` labels."""
    order: Literal["worst_last", "worst_first", "shuffled"] = "worst_first"
    """Order of the rejected names."""
    gold: Literal["keep", "first", "none"] = "keep"
    """The known answer in `chosen`: `keep` as the teacher ranked it, `first` forced to the top,
    `none` removed. It is always removed from `rejected`, which leaves the last set one name
    short where the catalogue has no further label."""
    candidates_include_gold: bool = True
    """Add the known answer to `candidates` where neither list names it."""
    min_confidence: Fraction = Field(0.0, ge=0, le=1)
    """A case whose best label has a lower teacher probability builds no pair."""
    batch_size: int = Field(128, ge=1)
    """Cases per call of the teacher; also the grain of resumption."""
