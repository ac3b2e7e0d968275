"""Evaluation."""

from typing import Literal

from pydantic import Field

from mint_ray.config.base import Section


class EvaluationConfig(Section):
    """What is measured, on which cases."""

    systems: tuple[Literal["base", "teacher", "majority", "student"], ...] = (
        "majority",
        "base",
        "student",
        "teacher",
    )
    """Systems to compare; `student` is listed by its training: `orpo`, `dpo`, `orpo_cft`, ..."""
    top_k: int = Field(10, ge=1)
    """Distinct names in a ranking."""
    search: Literal["auto", "exhaustive", "beam"] = "auto"
    """How the name trie is searched; `auto` is exhaustive up to 2,000 trie tokens."""
    beam_width: int = Field(16, ge=1)
    """Beams of the `beam` search."""
    controls: bool = True
    """Image students only: also rank stain-shifted test images and images shuffled between cases,
    and fit a classifier on mean colours alone."""
    max_cases: int | None = Field(None, ge=1)
    """Test cases that the language models rank, sampled by whole groups with the run's seed;
    all systems are compared on the same cases."""
    generate_cases: int = Field(0, ge=0)
    """Test cases for which the list is also generated freely and grounded."""
    max_new_tokens: int = Field(160, ge=8)
    """Length limit of free generation, in tokens."""
    bootstrap_samples: int = Field(1000, ge=100)
    """Resamples of groups for the 95 % intervals."""
    calibration_bins: int = Field(10, ge=2)
    """Equal-width confidence bins of the ECE."""
