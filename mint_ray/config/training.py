"""Settings of the student and of its training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from mint_ray.config.base import Fraction, Section, Word

EMBEDDED, EMBEDDED_VISION = "embedded", "embedded_vision"
"""Base models that installed packages hold."""


def _deepspeed_exists(setting: str) -> str:
    presets = sorted(
        file.stem for file in (Path(__file__).parents[1] / "students/engines/presets").glob("*")
    )
    if setting not in ("off", *presets) and not Path(setting).is_file():
        raise ValueError(
            f"expected off, {', '.join(presets)}, or the path of a DeepSpeed JSON file"
        )
    return setting


class StudentConfig(Section):
    """The unimodal student: a language model, or a vision-language model."""

    base_model: str = EMBEDDED
    """`embedded` (SmolLM2-135M-Instruct), `embedded_vision` (EfficientNet-Lite0 in front of the
    same model), a Hugging Face name, or a local folder."""
    revision: str | None = None
    """Git revision of a Hugging Face model. Pin it for figures that are published."""
    init_adapter: Path | None = None
    """Folder of a student to continue from. The paper's DPO starts from the SFT adapter. Empty to
    start from the base model."""
    adapter: Literal["lora", "full"] = "lora"
    """`lora` trains a LoRA adapter. `full` trains all weights of the language model, with float32
    copies for the optimizer where the model is bfloat16."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the LoRA matrices."""
    lora_alpha: float = Field(32.0, gt=0)
    """Scale of LoRA. The update is multiplied by alpha / rank, or alpha / sqrt(rank) with
    rsLoRA."""
    rslora: bool = False
    """Multiply the update by alpha / sqrt(rank), as in rsLoRA."""
    lora_dropout: Fraction = Field(0.0, ge=0, lt=1)
    """Dropout probability on the input of each LoRA layer."""
    lora_targets: str | tuple[str, ...] = "all-linear"
    """PEFT target modules. `all-linear` means the linear layers of the language model, never those
    of an image encoder."""
    projector: Literal["train", "frozen"] = "train"
    """Train or freeze the projector, which joins an image encoder to the language model. `train`
    changes all of its weights, without LoRA."""
    vision_tower: Literal["frozen", "lora"] = "frozen"
    """`frozen` leaves the image encoder as it is. `lora` adds LoRA to its linear layers too."""
    max_prompt_length: int = Field(700, ge=32)
    """Largest number of prompt tokens. A longer note loses its end."""
    max_length: int = Field(1400, ge=64)
    """Largest number of tokens of prompt and one answer together. A longer pair is rejected."""

    @model_validator(mode="after")
    def _room_for_an_answer(self) -> "StudentConfig":
        if self.max_prompt_length >= self.max_length:
            raise ValueError(
                f"student.max_prompt_length={self.max_prompt_length} must be below "
                f"student.max_length={self.max_length}, or no answer fits"
            )
        return self


class TrialsConfig(Section):
    """Short trainings with several learning rates, of which the training takes the best."""

    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Peak learning rates to try, each in a `train` step of its own. The step `rates` lets their
    students rank validation cases, and the training takes the best rate in place of
    `training.learning_rate`. Empty for no trials. Campaigns of `mint tune` do not read it."""
    share: float = Field(0.25, gt=0, le=1)
    """Part of `max_steps` and of `max_tokens` that each trial has."""
    cases: int = Field(200, ge=1)
    """Largest number of validation cases that are ranked, drawn as those of an evaluation."""
    metric: Literal["mrr", "top1", "nll"] = "mrr"
    """Metric that decides, as a mean over groups. `nll` suits `cft` and `rcft`, which are to mend
    probabilities. Of equal rates, the lowest is taken."""

    @field_validator("learning_rates")
    @classmethod
    def _at_least_two(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if rates and len({f"{rate:g}" for rate in rates}) < max(2, len(rates)):
            raise ValueError(f"expected at least two different rates, found {list(rates)}")
        return rates


class WatchConfig(Section):
    """Validation cases that a student ranks while it trains, which changes nothing about it."""

    cases: int = Field(0, ge=0)
    """Number of validation cases to rank, drawn as those of an evaluation. Confidence, entropy,
    accuracy and calibration are recorded with the steps and in MLflow, and `mint compare` plots
    them against the tokens. 0 for none. TRL's trainer is not watched."""
    steps: int = Field(10, ge=1)
    """Number of optimizer steps between two rankings. The cases are also ranked before the first
    step and after the last one."""


class TrainingConfig(Section):
    """Alignment of the student on preference pairs."""

    objective: Literal["orpo", "dpo", "sft", "cft", "rcft"] = "orpo"
    """Registered name of the objective. `dpo` usually continues from an `sft` student, `cft` and
    `rcft` from an `orpo` student (`student.init_adapter`)."""
    trainer: Literal["mint_ray", "trl"] = "mint_ray"
    """Training loop: this package's, or TRL's `ORPOTrainer` on the same pairs, to compare with. The
    latter takes `orpo`, text and a single worker, and starts again after an interruption."""
    answers: Literal["own", "permuted"] = "own"
    """Answers of each training case: its own, or those of a case of another group with the same
    known answer (`permuted`). A control: what the teacher's lists say of a case beyond its known
    answer is then lost."""
    orpo_lambda: float = Field(0.1, ge=0)
    """Weight of the odds-ratio term, which TRL calls beta."""
    odds_over: Literal["answer", "names"] = "answer"
    """Tokens of an answer whose mean log-probability enters the odds ratio of `orpo`: all of them
    (`answer`), or all but the header, number and quote that every answer begins with (`names`).
    These are soon certain, and are about half of the tokens of a single name."""
    dpo_beta: float = Field(0.1, gt=0)
    """Strength of DPO's pull towards the reference model."""
    sft_on: Literal["chosen", "answer"] = "chosen"
    """Target of `sft`: the teacher's chosen list, or the known answer alone."""
    candidates: Literal["pairs", "beam"] = "pairs"
    """Candidates of `cft` and `rcft`: those of the `pairs`, which are the teacher's best and worst
    names; or the names that the student itself takes for likeliest (`beam`). The student that the
    training starts from then ranks every training case once, by the default search of an
    evaluation, and its best 16 names are the candidates. A known answer that is not among them is
    not added."""
    rcft_weight: float = Field(1.0, ge=0)
    """Weight of RCFT's calibration term."""
    rcft_targets: Literal["paper", "proportional"] = "paper"
    """Targets of the candidates below the first in RCFT's calibration term. Those of the `paper`
    are nearly equal where there are many candidates. `proportional` ones keep the ratio of the
    student's own probabilities, and none is above the first."""
    calibration_bins: int = Field(10, ge=2)
    """Number of equal-width confidence bins of RCFT's E-step and of the reported calibration
    regime."""
    nll_on: Literal["chosen", "prompt_and_chosen"] = "chosen"
    """Tokens of the likelihood term of `orpo` and `sft`. `rcft` always takes prompt and chosen
    answer."""
    label_smoothing: Fraction = Field(0.0, ge=0, lt=1)
    """Part of each token's weight that all tokens of the vocabulary share, in the likelihood term
    of `orpo` and `sft`. It keeps probabilities below 1."""
    prefix_sharing: Annotated[Literal["auto", "on", "off"], Word] = "auto"
    """Compute the prompt once for both answers. `auto` checks on a real pair that this
    layout agrees with the padded one, and uses the padded one if not."""
    attention: Literal["auto", "sdpa", "varlen", "flex"] = "auto"
    """Attention kernel of shared prompts. `varlen` computes a micro-batch as one line of tokens
    without padding, and attention for each case apart. `auto` is `varlen` on a CPU, if a trial on
    real pairs agrees, and SDPA elsewhere. `flex`, which is FlexAttention, skips the blocks of a row
    that see nothing, on a GPU. It is compiled, which took more than two minutes where we tried."""
    loss_normalisation: Literal["global", "per_microbatch"] = "global"
    """`global` divides by the tokens and pairs of the whole optimizer step, over all workers.
    `per_microbatch` averages the means of micro-batches, as TRL does."""
    learning_rate: float = Field(5e-5, gt=0)
    """Peak AdamW learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Schedule of the learning rate after warm-up."""
    averaged_share: Fraction = Field(0.0, ge=0, lt=1)
    """Share of the optimizer steps, the last ones, of whose weights the student has the mean. It
    goes with `schedule: constant`: under the others the last weights hardly differ. A float32 copy
    of the trained weights is held for it. 0 for the last weights alone."""
    warmup_ratio: Fraction = Field(0.1, ge=0, lt=1)
    """Share of the optimizer steps used for warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(0.3, gt=0)
    """Gradient norm above which gradients are scaled down."""
    seed: int | None = Field(None, ge=0)
    """Seed of the order of the cases and of new weights, to train several students on the same
    pairs. Empty for the seed of the run."""
    members: int = Field(1, ge=1)
    """Number of trainings on the same pairs, the mean of whose weights is the student's. They have
    seeds of their own, and so other orders of the cases. Each takes as long as one training; the
    student is ranked and served like any other. Only with `student.adapter: full`. Campaigns of
    `mint tune` and trials of the rate train one."""
    epochs: int = Field(1, ge=1)
    """Number of passes over the pairs."""
    max_steps: int | None = Field(None, ge=1)
    """Number of optimizer steps after which training stops, whatever `epochs` is. Empty for no
    limit."""
    max_tokens: int | None = Field(None, ge=1)
    """Number of tokens of prompts and answers that the optimizer steps read together at most, as
    `tokens_seen` counts them. Objectives then train on equally much text, in unequally many steps;
    the schedule of the learning rate ends with the last of them. At least one step is taken, and
    `epochs` and `max_steps` hold as well. Empty for no limit."""
    batch_size: int = Field(8, ge=1)
    """Number of cases per optimizer step, over all workers and accumulated micro-batches. Each case
    has all of its pairs, one per rejected set."""
    checkpoint_steps: int = Field(50, ge=1)
    """Number of optimizer steps between checkpoints."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the model. `auto` is bfloat16 on GPUs that support it, and on CPUs that have
    instructions for it if a short product then is faster; else float32. What is trained has float32
    weights for the optimizer in any case."""
    watch: WatchConfig = WatchConfig()
    trials: TrialsConfig = TrialsConfig()
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass. This takes less memory and about
    a third more time."""
    deepspeed: Annotated[str, Word, AfterValidator(_deepspeed_exists)] = "zero2"
    """`off`, a preset of `configs/deepspeed/` (`zero1`, `zero2`, `zero3`), or the path of a
    DeepSpeed JSON file."""

    @model_validator(mode="after")
    def _trials_have_a_budget(self) -> "TrainingConfig":
        if self.trials.learning_rates and self.max_steps is None and self.max_tokens is None:
            raise ValueError(
                "trials.learning_rates: expected max_steps or max_tokens, of which each trial has "
                "the part trials.share, found neither"
            )
        return self

    @model_validator(mode="after")
    def _averaged_weights_are_whole(self) -> "TrainingConfig":
        if self.averaged_share and (self.deepspeed == "zero3" or self.trainer == "trl"):
            raise ValueError(
                f"averaged_share={self.averaged_share}: expected deepspeed off, zero1 or zero2 and "
                f"trainer=mint_ray, found {self.deepspeed} and {self.trainer}; ZeRO-3 cuts the "
                "weights up, and TRL's trainer does not average"
            )
        return self

    @model_validator(mode="after")
    def _watched_weights_are_whole(self) -> "TrainingConfig":
        if self.watch.cases and self.deepspeed == "zero3":
            raise ValueError(
                f"watch.cases={self.watch.cases}: expected deepspeed off, zero1 or zero2, found "
                "zero3, which cuts the weights up so that no worker can rank; use zero2"
            )
        return self
