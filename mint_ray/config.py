"""The typed configuration tree.

One class per section, one docstring per field (unit and range included); `config_files` reads
it. Unknown keys are refused. Settings that change a result live in the section of the stage
that they change, and are part of that stage's hash; settings that only decide where work runs
live in `resources` and `tracking`, and are not.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mint_ray.students.batches import check_batch_size

Fraction = float


def _word(value: Any) -> Any:
    """YAML 1.1 reads `on` and `off` as booleans; take them as the words they were."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _deepspeed_exists(setting: str) -> str:
    presets = sorted(file.stem for file in (Path(__file__).parent / "students/presets").glob("*"))
    if setting not in ("off", *presets) and not Path(setting).is_file():
        raise ValueError(
            f"expected off, {', '.join(presets)}, or the path of a DeepSpeed JSON file"
        )
    return setting


Word = BeforeValidator(_word)
WorkerRange = Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], int]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )


class SimulationConfig(Section):
    """Patients drawn from the disease annotations (`cases.source: simulated`)."""

    diseases: int = Field(24, ge=2)
    """Number of diseases to draw patients for, the best annotated first."""
    disease_ids: tuple[str, ...] = ()
    """Draw patients for these diseases instead."""
    patients_per_disease: int = Field(16, ge=3)
    """Simulated patients per disease, over all splits."""
    imprecision: Fraction = Field(0.15, ge=0, le=1)
    """Probability that a term is replaced by one of its parents."""
    missing: Fraction = Field(0.3, ge=0, le=1)
    """Probability that a present term goes unrecorded."""
    noise_terms: float = Field(0.5, ge=0)
    """Mean number of unrelated terms per patient (Poisson)."""
    max_terms: int = Field(12, ge=1)
    """Most observed terms a simulated patient is given."""


class CasesConfig(Section):
    """Where cases come from and what each modality shows."""

    source: Literal["simulated", "phenopackets", "parquet"] = "simulated"
    """`simulated` needs no files; `phenopackets` reads a file, folder or ZIP; `parquet` a case
    table."""
    path: Path | None = None
    """Input of the `phenopackets` and `parquet` sources."""
    modalities: Literal["both", "face_only_in_image", "text_only"] = "face_only_in_image"
    """`face_only_in_image` shows rendered facial terms in the image and keeps them out of the
    note; `both` shows them in both; `text_only` draws no image."""
    note_max_terms: int = Field(40, ge=1)
    """Most findings (observed, then excluded) that a written note states."""
    note_excluded_terms: int = Field(3, ge=0)
    """Most excluded findings that a written note states."""
    validation_fraction: Fraction = Field(0.1, ge=0, lt=1)
    """Share of the cases in the validation split, by whole groups."""
    test_fraction: Fraction = Field(0.2, gt=0, lt=1)
    """Share of the cases in the test split, by whole groups."""
    simulation: SimulationConfig = SimulationConfig()

    @model_validator(mode="after")
    def _path_where_needed(self) -> "CasesConfig":
        if self.source != "simulated" and self.path is None:
            raise ValueError(f"cases.path is required for cases.source={self.source}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("cases.validation_fraction + cases.test_fraction must be below 1")
        return self


class KnowledgeConfig(Section):
    """The knowledge base and what of it may be used."""

    exclude_publications: Path | Literal["from_cases"] | None = "from_cases"
    """Annotations whose only sources are these publications are dropped: a file with one PMID a
    line, or `from_cases` for the publications of the evaluated (validation and test) cases."""
    namespace: str = "OMIM"
    """Id prefix of the catalogue's labels."""
    labels: Literal["all", "cases"] = "all"
    """`all`: every annotated disease and every training label; `cases`: only labels of cases."""


class TeacherConfig(Section):
    """The multimodal teacher."""

    name: str = "fusion"
    """Registered name of the teacher."""
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
    `none` removed. It is always removed from `rejected`."""
    candidates_include_gold: bool = True
    """Add the known answer to `candidates` where neither list names it."""
    min_confidence: Fraction = Field(0.0, ge=0, le=1)
    """A case whose best label has a lower teacher probability builds no pair."""
    batch_size: int = Field(128, ge=1)
    """Cases per call of the teacher; also the grain of resumption."""


class StudentConfig(Section):
    """The unimodal student: a causal language model with LoRA."""

    base_model: str = "embedded"
    """`embedded` (SmolLM2-135M-Instruct), a Hugging Face name, or a local folder."""
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
    """PEFT target modules."""
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
    """Tracking store; default `sqlite:///<store>/mlflow.db`."""
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
    cases: CasesConfig = CasesConfig()
    knowledge: KnowledgeConfig = KnowledgeConfig()
    teacher: TeacherConfig = TeacherConfig()
    preferences: PreferencesConfig = PreferencesConfig()
    student: StudentConfig = StudentConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

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
