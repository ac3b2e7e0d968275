"""Settings of the evaluation."""

from typing import Literal

from pydantic import Field, field_validator

from mint_ray.config.base import Section

CASES_PER_GROUP = 10
"""Cases of a publication or family that are ranked by default.

Of the 8,817 published patients, 62 % stay, and 12 % of the 1,466 groups are cut. Over ten random
splits the share of test cases without a training patient of their disease runs from 39 to 51 %
instead of 40 to 69 %.
"""


class EvaluationConfig(Section):
    """Compared systems, tested cases and measures."""

    systems: tuple[
        Literal[
            "majority",
            "neighbours",
            "knowledge",
            "stacked",
            "base",
            "student",
            "fused",
            "teacher",
        ],
        ...,
    ] = ("majority", "base", "student", "teacher")
    """Systems to compare. The `student` is listed by its training: `orpo`, `dpo`, `orpo_cft`, ...
    `neighbours`, `knowledge` and `stacked` are fitted within a minute: the most similar training
    patients, the annotations of the diseases, and trees over both. They read the terms of patients.
    `fused` joins the student with the look-ups of `fused_look_ups`, which here read the findings of
    the same note and nothing else."""
    fused_look_ups: tuple[Literal["knowledge", "neighbours", "stacked"], ...] = Field(
        ("knowledge",), min_length=1
    )
    """Look-ups that `fused` pools with the student; `stacked` knows what both others know."""
    fused_cases: int = Field(300, ge=1)
    """Largest number of validation cases that the student ranks to fit the weights of `fused`."""
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
    """Largest number of test cases, drawn from random groups with the run's seed so that the shares
    of seen and unseen labels stay. All systems are compared on the same cases. Empty for all test
    cases."""
    max_cases_per_group: int | Literal["auto"] | None = "auto"
    """Largest number of cases of a group that are ranked, drawn with the run's seed. `auto` is 10
    for patients, so that no publication rules a figure, and all for images, where a patient's tiles
    vote. Empty for all. It also holds for the validation cases of `calibrate` and `tune`."""
    generate_cases: int = Field(0, ge=0)
    """Number of test cases for which the language models also write a list freely, whose names are
    then looked up in the catalogue."""
    max_new_tokens: int = Field(160, ge=8)
    """Largest length of a freely generated answer, in tokens."""
    bootstrap_samples: int = Field(1000, ge=100)
    """Number of bootstrap resamples of groups for the 95 % intervals."""
    calibration_bins: int = Field(10, ge=2)
    """Number of confidence bins of the expected calibration error (ECE): of equal width, and of
    equal mass for `ece_mass`."""

    @field_validator("fused_look_ups")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"expected each look-up once, found {', '.join(names)}")
        return names

    @field_validator("max_cases_per_group")
    @classmethod
    def _at_least_one(cls, limit: int | str | None) -> int | str | None:
        if isinstance(limit, int) and limit < 1:
            raise ValueError(f"expected at least 1, auto or null, found {limit}")
        return limit

    def group_limit(self, task: Literal["disease", "tissue"]) -> int | None:
        """Return the largest number of cases of a group with a task; None for all."""
        if self.max_cases_per_group != "auto":
            return self.max_cases_per_group
        return CASES_PER_GROUP if task == "disease" else None
