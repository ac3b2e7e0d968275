"""Settings of the teachers."""

from typing import Literal

from pydantic import Field, model_validator

from mint_ray.config.base import Fraction, Section


class ClipConfig(Section):
    """The image-and-text encoders of the teachers `clip` and `clip_fusion`."""

    checkpoint: str = "embedded"
    """`embedded` (EfficientNet-Lite0 and MiniLM, which are installed as packages), or the name or
    folder of a CLIP model of transformers, such as `vinid/plip`."""
    revision: str | None = None
    """Git revision of a Hugging Face model."""
    templates: tuple[str, ...] = (
        "an H&E image of {} tissue",
        "a histology slide of the {}",
        "nuclei of {} under the microscope",
    )
    """Prompts of the zero-shot classifier, averaged per label. Each must contain `{}`, which stands
    for the label's name."""
    fit: Literal["none", "probe", "contrastive"] = "contrastive"
    """Training on the training groups: `none` learns nothing (zero-shot). `probe` fits a linear
    probe on image features. `contrastive` first fits image and text projections, then the probe."""
    width: int = Field(256, ge=8)
    """Number of dimensions of the joint space of the embedded encoders."""
    epochs: int = Field(30, ge=1)
    """Passes over the training images when the projections are fitted."""
    probe_strength: float = Field(30.0, gt=0)
    """Inverse L2 regularisation of the linear probes, on standardised features. A tenth and ten
    times of it are tried too, by cross-validation over training groups."""
    views: int = Field(2, ge=1)
    """Number of copies of each training image: the plain one, and flipped, rotated and
    stain-shifted ones."""
    scoring_views: int = Field(1, ge=1, le=8)
    """Number of flips and rotations of each scored image whose features are averaged. Each costs
    one pass."""

    @model_validator(mode="after")
    def _templates_name_the_label(self) -> "ClipConfig":
        if not self.templates or any("{}" not in template for template in self.templates):
            raise ValueError("templates: expected one prompt or more, each with {} for the label")
        return self


class TeacherConfig(Section):
    """The multimodal teacher.

    The teachers `clip` and `clip_fusion` use `clip`, `batch_size`, `learning_rate` and
    `weight_decay`; the other settings are those of `fusion`.
    """

    name: str = "fusion"
    """Registered name of the teacher: `fusion` (face and HPO terms), `neighbours` (HPO terms: the
    diseases of the most similar training patients; no settings), `clip` (image), `clip_fusion`
    (image and description)."""
    clip: ClipConfig = ClipConfig()
    hidden: int = Field(512, ge=8)
    """Number of dimensions of the joint representation."""
    epochs: int = Field(6, ge=1)
    """Passes over real and simulated training patients."""
    batch_size: int = Field(256, ge=1)
    """Number of patients or tiles per optimizer step, over all workers."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak AdamW learning rate of a one-cycle schedule."""
    weight_decay: float = Field(1e-2, ge=0)
    """AdamW weight decay."""
    dropout: Fraction = Field(0.3, ge=0, lt=1)
    """Dropout probability in the hidden representation."""
    modality_dropout: Fraction = Field(0.15, ge=0, lt=1)
    """Probability that a training patient with a face loses the face, and the same probability that
    it loses its terms instead."""
    simulated_per_label: int = Field(2, ge=0)
    """Number of simulated training patients per disease of the catalogue, drawn anew in every
    epoch. 0 for none."""
    real_repeats: int = Field(2, ge=1)
    """Number of times that a real patient is used per epoch, each time with other terms left
    out."""
    face_samples: int = Field(8000, ge=0)
    """Number of drawn faces from which the face reader learns facial findings, beside the faces of
    the cases. Only used if the faces of the cases are drawn."""
    face_epochs: int = Field(3, ge=1)
    """Passes of the face reader over its faces."""
