"""Settings of the evaluation."""

from typing import Literal

from pydantic import Field

from mint_ray.config.base import Section


class EvaluationConfig(Section):
    """Compared systems, tested cases and measures."""

    systems: tuple[Literal["base", "teacher", "majority", "student"], ...] = (
        "majority",
        "base",
        "student",
        "teacher",
    )
    """Systems to compare. The `student` is listed by its training: `orpo`, `dpo`, `orpo_cft`,
    ..."""
    top_k: int = Field(10, ge=1)
    """Number of distinct names in a ranking."""
    search: Literal["auto", "exhaustive", "beam"] = "auto"
    """Search of the name trie: `exhaustive` scores every name, `beam` only the most likely ones.
    `auto` is exhaustive up to 2,000 tokens in the trie, else a beam search."""
    beam_width: int = Field(16, ge=1)
    """Number of beams of the `beam` search."""
    controls: bool = True
    """Rank stain-shifted test images and images shuffled between cases too, and fit a
    classifier on mean colours alone. Only for students of images."""
    max_cases: int | None = Field(None, ge=1)
    """Largest number of test cases, sampled by whole groups with the run's seed. All systems are
    compared on the same cases. Empty for all test cases."""
    generate_cases: int = Field(0, ge=0)
    """Number of test cases for which the language models also write a list freely, whose names are
    then looked up in the catalogue."""
    max_new_tokens: int = Field(160, ge=8)
    """Largest length of a freely generated answer, in tokens."""
    bootstrap_samples: int = Field(1000, ge=100)
    """Number of bootstrap resamples of groups for the 95 % intervals."""
    calibration_bins: int = Field(10, ge=2)
    """Number of equal-width confidence bins of the expected calibration error (ECE)."""
