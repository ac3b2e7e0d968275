"""Training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mint_ray.config.base import Fraction, Section, Word


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

    objective: Literal["orpo", "dpo", "sft", "cft", "rcft"] = "orpo"
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
    """Cases per optimizer step, each with all its pairs (one per rejected set), over all workers
    and accumulation."""
    checkpoint_steps: int = Field(50, ge=1)
    """Optimizer steps between checkpoints."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 on GPUs that have it, float32 elsewhere."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    deepspeed: Annotated[str, Word, AfterValidator(_deepspeed_exists)] = "zero2"
    """`off`, or a preset of `configs/deepspeed/` (`zero1`, `zero2`, `zero3`), or a JSON file."""
