"""The typed configuration tree.

One class per section, one docstring per field (unit and range included); `config_files` reads
it. Unknown keys are refused. Settings that change a result live in the section of the stage
that they change, and are part of that stage's hash; settings that only decide where work runs
live in `resources` and `tracking`, and are not.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mint_ray.config_base import Fraction, Section, Word
from mint_ray.config_cases import (
    CasesConfig,
    ImagesConfig,
    KnowledgeConfig,
    SimulationConfig,
    TilesConfig,
)
from mint_ray.config_promotion import PromotionConfig
from mint_ray.config_serving import ServingConfig
from mint_ray.config_teacher import ClipConfig, TeacherConfig
from mint_ray.config_tune import TuneConfig
from mint_ray.students.batches import check_batch_size


def _deepspeed_exists(setting: str) -> str:
    presets = sorted(file.stem for file in (Path(__file__).parent / "students/presets").glob("*"))
    if setting not in ("off", *presets) and not Path(setting).is_file():
        raise ValueError(
            f"expected off, {', '.join(presets)}, or the path of a DeepSpeed JSON file"
        )
    return setting


__all__ = [
    "CasesConfig",
    "ClipConfig",
    "Config",
    "EvaluationConfig",
    "ImagesConfig",
    "KnowledgeConfig",
    "PreferencesConfig",
    "PromotionConfig",
    "ResourcesConfig",
    "Section",
    "ServingConfig",
    "SimulationConfig",
    "StudentConfig",
    "TeacherConfig",
    "TilesConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TuneConfig",
]

WorkerRange = Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], int]


class PreferencesConfig(Section):
    """From ranked labels to chosen and rejected answers."""

    k: int = Field(10, ge=1)
    """Names in the chosen answer: the teacher's best k."""
    q: int = Field(10, ge=1)
    """Names in the rejected answer: the teacher's worst q of each window."""
    windows: int = Field(1, ge=1)
    """Pairs per case; window w takes the w-th lowest q labels."""
    order: Literal["worst_last", "worst_first", "shuffled"] = "worst_first"
    """Order of the rejected names."""
    gold: Literal["keep", "first", "none"] = "keep"
    """The known answer in `chosen`: `keep` as the teacher ranked it, `first` forced to the top,
    `none` removed. It is always removed from `rejected`, which leaves the last window one name
    short where the catalogue has no further label."""
    candidates_include_gold: bool = True
    """Add the known answer to `candidates` where neither list names it."""
    min_confidence: Fraction = Field(0.0, ge=0, le=1)
    """A case whose best label has a lower teacher probability builds no pair."""
    batch_size: int = Field(128, ge=1)
    """Cases per call of the teacher; also the grain of resumption."""


class StudentConfig(Section):
    """The unimodal student: a language model, or an image-and-text one, with LoRA."""

    base_model: str = "embedded"
    """`embedded` (SmolLM2-135M-Instruct), `embedded_vision` (EfficientNet-Lite0 before the same),
    a Hugging Face name, or a local folder."""
    revision: str | None = None
    """Git revision of a Hugging Face model; pin it for figures that are published."""
    init_adapter: Path | None = None
    """Adapter folder to continue from (the paper's DPO starts from the SFT adapter)."""
    lora_rank: int = Field(16, ge=1)
    """LoRA rank."""
    lora_alpha: float = Field(32.0, gt=0)
    """LoRA scale; the update is multiplied by alpha / rank, or alpha / sqrt(rank) with rsLoRA."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank)."""
    lora_dropout: Fraction = Field(0.0, ge=0, lt=1)
    """Dropout on the input of each LoRA layer."""
    lora_targets: str | tuple[str, ...] = "all-linear"
    """PEFT target modules; `all-linear` means those of the language model, never of an image
    encoder."""
    projector: Literal["train", "frozen"] = "train"
    """Whether what joins an image encoder to the language model is trained, whole."""
    vision_tower: Literal["frozen", "lora"] = "frozen"
    """Whether the image encoder stays as it is, or gets LoRA in its linear layers too."""
    max_prompt_length: int = Field(700, ge=32)
    """Most prompt tokens; a longer note loses its tail."""
    max_length: int = Field(1400, ge=64)
    """Most tokens of prompt and one answer together; a longer pair is rejected."""

    @model_validator(mode="after")
    def _room_for_an_answer(self) -> "StudentConfig":
        if self.max_prompt_length >= self.max_length:
            raise ValueError(
                f"student.max_prompt_length={self.max_prompt_length} must be below "
                f"student.max_length={self.max_length}, or no answer fits"
            )
        return self


class TrainingConfig(Section):
    """Alignment of the student on preference pairs."""

    objective: str = "orpo"
    """Registered name: `orpo`, `dpo`, `sft`, `cft`, `rcft`; `dpo` usually continues from an `sft`
    student and the last two from an `orpo` one (`student.init_adapter`)."""
    orpo_lambda: float = Field(0.1, ge=0)
    """Weight of the odds-ratio term (TRL calls it beta)."""
    dpo_beta: float = Field(0.1, gt=0)
    """Strength of DPO's pull towards the reference."""
    sft_on: Literal["chosen", "answer"] = "chosen"
    """What `sft` imitates: the teacher's chosen list, or the known answer alone."""
    rcft_weight: float = Field(1.0, ge=0)
    """Weight of RCFT's calibration term."""
    calibration_bins: int = Field(10, ge=2)
    """Equal-width confidence bins of RCFT's E-step and of the measured regime."""
    nll_on: Literal["chosen", "prompt_and_chosen"] = "chosen"
    """Tokens of the likelihood term of `orpo` and `sft`; `rcft` always takes both."""
    prefix_sharing: Annotated[Literal["auto", "on", "off"], Word] = "auto"
    """Compute the prompt once for both answers; `auto` checks on a real pair that both layouts
    agree and falls back where they do not."""
    attention: Literal["auto", "sdpa", "flex"] = "auto"
    """`auto`: FlexAttention on GPUs where both layouts then agree, SDPA elsewhere."""
    loss_normalisation: Literal["global", "per_microbatch"] = "global"
    """`global` divides by the tokens and pairs of the whole optimizer step, over all workers;
    `per_microbatch` averages micro-batch means as TRL does."""
    learning_rate: float = Field(5e-5, gt=0)
    """Peak AdamW learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning-rate schedule after warm-up."""
    warmup_ratio: Fraction = Field(0.1, ge=0, lt=1)
    """Share of the steps spent warming up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(0.3, gt=0)
    """Gradient norm above which gradients are scaled down."""
    epochs: int = Field(1, ge=1)
    """Passes over the pairs."""
    max_steps: int | None = Field(None, ge=1)
    """Optimizer steps after which training stops, whatever the epochs."""
    batch_size: int = Field(8, ge=1)
    """Cases per optimizer step, each with all its pairs (one per window), over all workers and
    accumulation."""
    checkpoint_steps: int = Field(50, ge=1)
    """Optimizer steps between checkpoints."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 on GPUs that have it, float32 elsewhere."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    deepspeed: Annotated[str, Word, AfterValidator(_deepspeed_exists)] = "zero2"
    """`off`, or a preset of `configs/deepspeed/` (`zero1`, `zero2`, `zero3`), or a JSON file."""


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


class ResourcesConfig(Section):
    """Where work runs. Changes no result beyond floating-point order, but that `micro_batch_size`
    matters under `training.loss_normalisation: per_microbatch` and to the draws of dropout."""

    ray_address: str | None = None
    """Ray cluster (`auto` for a head on this machine); empty for RAY_ADDRESS, else a new local
    one."""
    teacher_workers: int = Field(1, ge=1)
    """Ray Train workers of the teacher's fit."""
    train_workers: WorkerRange = 1
    """Ray Train workers of the student: a number, or [least, most] where a run may go on with
    what the cluster has (`training.deepspeed: off` only)."""
    micro_batch_size: int = Field(1, ge=1)
    """Cases per forward pass and worker."""
    cpus_per_worker: float = Field(1, gt=0)
    """CPUs of each train worker or actor."""
    gpus_per_worker: float = Field(0, ge=0)
    """GPUs of each train worker or actor."""
    threads_per_worker: int | None = Field(None, ge=1)
    """Torch CPU threads of each train worker or actor; default `cpus_per_worker`."""
    actors: int = Field(2, ge=1)
    """Most actors of an inference stage."""
    max_failures: int = Field(2, ge=0)
    """Restarts of a training run after a worker is lost."""


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    """Record runs."""
    uri: str | None = None
    """Tracking store and registry; default `MLFLOW_TRACKING_URI` where that is set, else
    `sqlite:///<store>/mlflow.db`."""
    experiment: str = "mint_ray"
    """Experiment name."""


class Config(Section):
    """A whole run."""

    name: str = "run"
    """Short name, for people."""
    store: str = "runs"
    """Folder that holds every step's output."""
    seed: int = Field(0, ge=0)
    """Seed of everything random."""
    task: Literal["disease", "tissue"] = "disease"
    """`disease`: name rare diseases from a note; `tissue`: name the tissue from an image alone."""
    cases: CasesConfig = CasesConfig()
    knowledge: KnowledgeConfig = KnowledgeConfig()
    teacher: TeacherConfig = TeacherConfig()
    preferences: PreferencesConfig = PreferencesConfig()
    student: StudentConfig = StudentConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tune: TuneConfig = TuneConfig()
    promotion: PromotionConfig = PromotionConfig()
    serving: ServingConfig = ServingConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _source_fits_task(self) -> "Config":
        images = self.cases.source in ("tiles", "images", "pannuke")
        patients = self.cases.source in ("simulated", "phenopackets")
        if (images and self.task == "disease") or (patients and self.task == "tissue"):
            raise ValueError(
                f"task={self.task} does not fit cases.source={self.cases.source}: expected "
                "disease for simulated and phenopackets, tissue for tiles, images and pannuke, "
                "either for parquet"
            )
        return self

    @model_validator(mode="after")
    def _batch_can_be_dealt(self) -> "Config":
        workers = self.resources.train_workers
        check_batch_size(
            self.training.batch_size,
            self.resources.micro_batch_size,
            max(workers) if isinstance(workers, tuple) else workers,
            even=self.training.deepspeed != "off",
        )
        return self

    @model_validator(mode="after")
    def _elastic_without_deepspeed(self) -> "Config":
        workers = self.resources.train_workers
        if isinstance(workers, tuple) and workers[0] > workers[1]:
            raise ValueError(f"resources.train_workers={list(workers)}: expected [least, most]")
        if isinstance(workers, tuple) and self.training.deepspeed != "off":
            raise ValueError(
                f"resources.train_workers={list(workers)} needs training.deepspeed=off (found "
                f"{self.training.deepspeed}): its optimizer shards fit one number of workers"
            )
        return self

    @model_validator(mode="after")
    def _store_is_local(self) -> "Config":
        if "://" in self.store:
            raise ValueError(
                f"store={self.store}: object-store URIs are not supported yet; use a local "
                "path or a mounted one that every node sees"
            )
        return self
