"""Settings of the teachers."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

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


class ScoresConfig(Section):
    """The table of the teacher `scores`: scores of cases that another program has made.

    A row gives one label of one case. A label is given by an id in any usual spelling, or by a
    name. Labels of a case that the table lacks are not answered for.
    """

    path: Path | None = None
    """A parquet, CSV or TSV table, or a PhEval result folder: one that holds
    `pheval_disease_results`, or that folder itself. Its files are named after the cases."""
    case_column: str = "case_id"
    """Column of the case ids. Not used for a PhEval folder."""
    label_column: str = "label_id"
    """Column of the label ids. `disease_identifier` for a PhEval folder."""
    name_column: str = "label_name"
    """Column of the label names, which are used where there is no id that the catalogue knows."""
    score_column: str = "score"
    """Column of the scores."""
    better: Literal["higher", "lower"] = "higher"
    """Direction in which scores are better; `lower` for p-values."""


class ServerConfig(Section):
    """A server that speaks OpenAI's chat completions.

    The settings from `api_key_env` on say how it is asked, and change no answer.
    """

    base_url: str | None = None
    """Address below which the server has `chat/completions`, such as `http://localhost:8000/v1`."""
    model: str | None = None
    """Name of the model at the server."""
    temperature: float | None = Field(0.0, ge=0)
    """Sampling temperature. Empty for the server's own."""
    request: dict[str, Any] = Field({})
    """Further fields of each request, such as `{seed: 0}`. A null removes a field, for instance
    `{max_tokens: null, max_completion_tokens: 4000}`."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key. It need not be set for a server without keys."""
    concurrency: int = Field(4, ge=1)
    """Number of requests at a time."""
    requests_per_minute: float | None = Field(None, gt=0)
    """Largest rate of requests, repeated ones included. Empty for no limit."""
    timeout: float = Field(120, gt=0)
    """Time that an answer may take, in seconds."""
    retries: int = Field(5, ge=0)
    """Number of times that a request is repeated after a timeout, a lost connection or an answer
    429 or 5xx, with growing pauses."""
    max_requests: int | None = Field(None, ge=1)
    """Largest number of answers to ask for, over all restarts of the step. Empty for no limit."""
    max_total_tokens: int | None = Field(None, ge=1)
    """Largest number of tokens of prompts and answers, over all restarts of the step, as the server
    counts them. Empty for no limit."""


UNHASHED_OF_SERVER = (
    "api_key_env",
    "concurrency",
    "requests_per_minute",
    "timeout",
    "retries",
    "max_requests",
    "max_total_tokens",
)
"""Settings of a server that change no answer."""


class EndpointConfig(ServerConfig):
    """The server of the teacher `endpoint`, which speaks OpenAI's chat completions.

    It is asked once about every case, in the step `teach`. Answers are kept there, so a step that
    was interrupted, or that reached a limit, continues with the cases that are not answered yet.
    The settings from `api_key_env` to `max_total_tokens` say how it is asked, and change no answer.
    """

    reads: tuple[Literal["note", "terms", "image", "description"], ...] = ()
    """Parts of a case that the server is shown. Empty for what the student sees: the note of a
    patient, the image of a tissue."""
    answer: Literal["list", "logprobs"] = "list"
    """Form of the answer: a list of names, or log-probabilities of the options of a multiple-choice
    question. The latter needs a catalogue of at most 52 labels."""
    names: int = Field(10, ge=1)
    """Number of names that are asked for in a list."""
    top_logprobs: int = Field(20, ge=1)
    """Number of tokens whose log-probabilities are asked for. OpenAI and vLLM allow 20."""
    answer_tokens: int = Field(512, ge=1)
    """Largest length of a list, in tokens. A model that thinks first needs several thousand."""


class GestaltMMLConfig(Section):
    """The teacher `gestaltmml`: ViLT with a classification head, as in arXiv 2312.15320."""

    checkpoint: str = "dandelin/vilt-b32-mlm"
    """Name or folder of a ViLT model of transformers with safetensors weights and its tokenizer:
    one to start from, or a finished classifier (`ViltForQuestionAnswering`)."""
    revision: str | None = None
    """Git revision of a Hugging Face model."""
    fit: Literal["train", "none"] = "train"
    """`train` trains a new head and all weights on the training cases. `none` takes the classifier
    as it is, with the labels of `labels`."""
    labels: Path | None = None
    """File with the labels of a finished classifier in the order of its classes, one id or name a
    line. Empty for the names in the checkpoint's `id2label`."""
    text: tuple[Literal["demographics", "terms", "note"], ...] = ("demographics", "terms")
    """Parts of the text. `demographics` are sex and age; `terms` the names of observed HPO terms.
    """
    text_tokens: int = Field(40, ge=4)
    """Longest text in tokens; the rest is cut off."""
    image_side: int = Field(112, ge=32)
    """Height and width of the image, in pixels."""
    epochs: int = Field(10, ge=1)
    """Passes over the training cases, each with image and text, with the image alone, and with the
    text alone."""
    batch_size: int = Field(64, ge=1)
    """Number of cases per optimizer step, over all workers."""
    learning_rate: float = Field(5e-5, gt=0)
    """Peak AdamW learning rate of a one-cycle schedule."""
    weight_decay: float = Field(1e-2, ge=0)
    """AdamW weight decay."""


class TeacherConfig(Section):
    """The multimodal teacher.

    The teachers `clip` and `clip_fusion` use `clip`, `batch_size`, `learning_rate` and
    `weight_decay`; `scores`, `endpoint` and `gestaltmml` use the section of their name; the other
    settings are those of `fusion`, of which `stacked` uses `face_samples` and `face_epochs`.
    """

    name: str = "fusion"
    """Registered name of the teacher: `fusion` (face and HPO terms), `neighbours` (HPO terms: the
    diseases of the most similar training patients), `knowledge` (HPO terms: the annotations of the
    diseases), `stacked` (face, laboratory report and HPO terms: both, weighed by boosted trees),
    `clip` (image), `clip_fusion` (image and description), `gestaltmml` (face and HPO terms or note,
    ViLT), `scores` (a table that another program made), `endpoint` (a server with a language
    model), or the name under which an installed package has registered its own."""
    cross_fit_folds: int = Field(5, ge=0)
    """Number of parts of the training groups. The cases of each part are ranked by a further
    teacher that is fitted without it, so that no pair rests on an answer that its teacher has seen.
    Fewer where there are fewer groups. 0 to rank training cases with the teacher that was fitted to
    them, which is also done if all are of one group. Teachers whose scores were recorded elsewhere
    (`scores`, `endpoint`) need no parts."""
    clip: ClipConfig = ClipConfig()
    scores: ScoresConfig = ScoresConfig()
    endpoint: EndpointConfig = EndpointConfig()
    gestaltmml: GestaltMMLConfig = GestaltMMLConfig()
    options: dict[str, Any] = Field({})
    """Settings of a teacher that another package has registered."""
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
    faces: bool = True
    """Let `stacked` look at faces. Without them it is the same teacher of the words alone: the
    control that says what a student owes to an image that it never sees."""
    reports: bool = True
    """Let `stacked` read laboratory reports (`cases.modalities=laboratory_in_report`). Without them
    it is the same teacher of the note's words alone: the control that says what a student owes to
    a report that it never reads."""
    face_samples: int = Field(8000, ge=0)
    """Number of drawn faces from which the face reader learns facial findings, beside the faces of
    the cases. Only used if the faces of the cases are drawn."""
    face_epochs: int = Field(3, ge=1)
    """Passes of the face reader over its faces."""

    @field_validator("cross_fit_folds")
    @classmethod
    def _not_one_part(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("expected 0, or two parts or more, found 1, which leaves no patient")
        return folds

    @model_validator(mode="after")
    def _outside_teacher_is_named(self) -> "TeacherConfig":
        if self.name == "scores" and self.scores.path is None:
            raise ValueError(
                "name=scores: expected the table of scores in teacher.scores.path, found none"
            )
        if self.name == "endpoint" and not (self.endpoint.base_url and self.endpoint.model):
            raise ValueError(
                "name=endpoint: expected teacher.endpoint.base_url and teacher.endpoint.model, "
                "found none"
            )
        return self
