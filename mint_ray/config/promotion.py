"""Settings of calibration and promotion."""

from typing import Annotated, Literal

from pydantic import Field

from mint_ray.config.base import Section, Word

RankedBy = Literal["student", "fused"]
"""What ranks in the name of a student: itself alone, or a mixture of it with look-ups."""


class PromotionConfig(Section):
    """Calibration of a finished student, and its promotion in the MLflow registry."""

    source: Annotated[Literal["train", "tune"], Word] = "train"
    """Step whose student is calibrated and promoted: `train`, or `tune` for a campaign's winner."""
    ranking: RankedBy = "student"
    """Answers of the promoted student: its own, or `fused` with the look-ups of
    `evaluation.fused_look_ups`, which read the findings of the same note. Half of the validation
    groups then fit the weights, and the others the calibration."""
    coverage: float = Field(0.9, gt=0, lt=1)
    """Share of new patients whose conformal set should hold the correct answer."""
    metric: Literal["mrr", "top1", "top3", "top10", "nll"] = "mrr"
    """Metric in which a student must beat the champion on the same test cases: the paired 95 %
    interval over groups must leave 0 out."""
    model_name: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the registered model. Empty for `mint-text` or `mint-vision`, by the task."""
