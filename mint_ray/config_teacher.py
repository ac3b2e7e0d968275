"""Settings of the teachers."""

from typing import Literal

from pydantic import Field

from mint_ray.config_base import Fraction, Section


class ClipConfig(Section):
    """The image-and-text encoders of the teachers `clip` and `clip_fusion`."""

    checkpoint: str = "embedded"
    """`embedded` (EfficientNet-Lite0 and MiniLM, which install as packages), or a CLIP model of
    transformers by name or folder, such as `vinid/plip`."""
    revision: str | None = None
    """Git revision of a Hugging Face model."""
    templates: tuple[str, ...] = (
        "an H&E image of {} tissue",
        "a histology slide of the {}",
        "nuclei of {} under the microscope",
    )
    """Prompts of the zero-shot classifier, averaged per label; `{}` is the label's name."""
    fit: Literal["none", "probe", "contrastive"] = "contrastive"
    """What is learned from the training groups: nothing (zero-shot), a linear probe on image
    features, or image and text projections contrastively, then the probe."""
    width: int = Field(256, ge=8)
    """Width of the joint space of the embedded encoders."""
    probe_strength: float = Field(1.0, gt=0)
    """Inverse L2 regularisation of the linear probe."""
    views: int = Field(4, ge=1)
    """Flipped, rotated and stain-shifted copies of each training image, the plain one included."""


class TeacherConfig(Section):
    """The multimodal teacher."""

    name: str = "fusion"
    """Registered name of the teacher: `fusion` (face and HPO terms), `clip` (image), `clip_fusion`
    (image and description)."""
    clip: ClipConfig = ClipConfig()
    hidden: int = Field(512, ge=8)
    """Width of the joint representation."""
    epochs: int = Field(6, ge=1)
    """Passes over real and simulated training patients."""
    batch_size: int = Field(256, ge=1)
    """Patients per optimizer step, over all workers."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak AdamW learning rate of a one-cycle schedule."""
    weight_decay: float = Field(1e-2, ge=0)
    """AdamW weight decay."""
    dropout: Fraction = Field(0.3, ge=0, lt=1)
    """Dropout of the hidden representation."""
    modality_dropout: Fraction = Field(0.15, ge=0, lt=1)
    """Probability that a training patient with a face loses it, and again that it loses its
    terms instead."""
    simulated_per_label: int = Field(2, ge=0)
    """Simulated training patients per catalogue disease, drawn afresh every epoch; 0 for none."""
    real_repeats: int = Field(2, ge=1)
    """Times that a real patient is seen per epoch, each time with other terms left out."""
    face_samples: int = Field(8000, ge=0)
    """Drawn faces that the face reader learns the facial findings from, beside the cases' own;
    only where the cases' faces are drawn."""
    face_epochs: int = Field(3, ge=1)
    """Passes of the face reader over its faces."""
