"""Part that measures ORPO in bfloat16 on Llama shapes of random weights.

Four ways to compute the same loss on the same pairs, whose prompts share nothing: our shared layout
(each prompt once) with SDPA and with FlexAttention, our padded layout, and a plain loop as TRL's
trainer has it: one forward pass over all chosen and rejected sequences, prompts twice, with the
logits of every token.

MFU is the model's arithmetic on the tokens that were computed, by the measured peak of a product of
matrices. With LoRA the frozen weights need no gradient, so that a step is twice a forward pass, and
three times with all weights.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
from job import Clock, Job, Result, Save
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from mint_ray.common.devices import pick_device
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.students.engines.plain import PlainEngine
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import FLEX, Logps, Policy, base_of
from mint_ray.students.models.trained_weights import prepare_weights
from mint_ray.students.objectives.losses import ScoredBatch
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.training.step_loss import StepLoss, peak_memory_mb

SHAPES: dict[str, dict[str, int]] = {
    "1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "3B": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
"""Shape of a dry run."""

Models = tuple[tuple[str, Literal["lora", "full"]], ...]
MODELS: Models = (("1B", "lora"), ("3B", "lora"), ("1B", "full"))
DRY_MODELS: Models = (("tiny", "lora"), ("tiny", "full"))
LENGTHS = ((150, 60, 32), (700, 150, 8))
"""Tokens of a prompt, tokens of an answer, pairs of a step, which 80 GB hold in every system."""

SYSTEMS = ("shared", "padded", "trl_like", "flex")
RATE = 1e-5
WARM_UP, STEPS = 3, 8


@dataclass(frozen=True)
class Setting:
    """What a row of the table measures."""

    shape: str
    adapter: Literal["lora", "full"]
    prompt: int
    answer: int
    pairs: int
    system: str


def measure_throughput(job: Job, clock: Clock, save: Save) -> Result:
    """Measure all settings that the time allows; each row is saved once it is there."""
    device = pick_device()
    sizes = {"tiny": TINY} if job.dry else SHAPES
    models = DRY_MODELS if job.dry else MODELS
    lengths = ((30, 12, 4),) if job.dry else LENGTHS
    side = 256 if job.dry else 8192
    peak = matrix_peak(device, side)
    result: Result = {
        "matrix_side": side,
        "peak_tflops": peak / 1e12,
        "rows": [],
        "not_measured": [],
    }
    # FlexAttention comes last: compiling it once took all the time that there was.
    settings = sorted(product(models, lengths, SYSTEMS), key=lambda item: item[2] == "flex")
    for (shape, adapter), (prompt, answer, pairs), system in settings:
        setting = Setting(shape, adapter, prompt, answer, pairs, system)
        if clock.left < 0:
            result["not_measured"].append(vars(setting) | {"why": "out of time"})
        elif system == "flex" and device.type != "cuda":
            result["not_measured"].append(vars(setting) | {"why": "trains on GPUs only"})
        else:
            row = _measure_or_say_why(setting, sizes[shape], device, peak, job)
            result["rows"].append(vars(setting) | row)
            save(result)
    return result


def matrix_peak(device: torch.device, side: int) -> float:
    """Return the FLOP/s of a square product in bfloat16: the best of five times ten."""
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    times = []
    for _ in range(6):  # the first one warms up
        _wait(device)
        started = time.perf_counter()
        for _ in range(10):
            left @ right
        _wait(device)
        times.append((time.perf_counter() - started) / 10)
    return 2.0 * side**3 / min(times[1:])


def _measure_or_say_why(
    setting: Setting, size: dict[str, int], device: torch.device, peak: float, job: Job
) -> Result:
    gc.collect()  # what the row before has left
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        return _measure(setting, size, device, peak, job)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    # Compilers raise errors of many kinds, and one row must not cost the others.
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error)[:200]}"}


def _measure(
    setting: Setting, size: dict[str, int], device: torch.device, peak: float, job: Job
) -> Result:
    model = make_model(size, setting.adapter, device, torch.float32 if job.dry else torch.bfloat16)
    examples = make_examples(setting, size["vocab_size"])
    step = (
        plain_step(model, examples)
        if setting.system == "trl_like"
        else our_step(model, examples, setting.system)
    )
    losses, times = [], []
    for _ in range((1 if job.dry else WARM_UP) + (1 if job.dry else STEPS)):
        started = time.perf_counter()
        losses.append(step())
        _wait(device)
        times.append(time.perf_counter() - started)
    seconds = statistics.median(times[1 if job.dry else WARM_UP :])
    shares_prompt = setting.system in ("shared", "flex")
    sequences = setting.prompt * (1 if shares_prompt else 2) + 2 * setting.answer
    flops = step_flops(setting, size, shares_prompt)
    return {
        "first_loss": losses[0],
        "seconds_a_step": seconds,
        "tokens_per_s": setting.pairs * sequences / seconds,
        "pairs_per_s": setting.pairs / seconds,
        "tflops": flops / seconds / 1e12,
        "mfu": flops / seconds / peak,
        "peak_memory_mb": peak_memory_mb(device),
    }


def make_model(size: dict[str, int], adapter: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Make a Llama of random weights, the same at every call, ready to be trained."""
    torch.manual_seed(0)
    config = LlamaConfig(
        **size, max_position_embeddings=4096, tie_word_embeddings=True, attn_implementation="sdpa"
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(usual)
    return prepare_weights(model, StudentConfig(adapter=adapter), seed=0).train()


def make_examples(setting: Setting, vocabulary: int) -> list[Example]:
    """Make pairs of random tokens."""
    draw = torch.Generator().manual_seed(0)

    def tokens(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, vocabulary, (n,), generator=draw).tolist())

    return [
        Example(
            (str(number),),
            tokens(setting.prompt),
            (tokens(setting.answer), tokens(setting.answer)),
            preference_pairs=((0, 1),),
            nll_completions=(0,),
            index=number,
        )
        for number in range(setting.pairs)
    ]


def our_step(model: Any, examples: Sequence[Example], system: str) -> Callable[[], float]:
    """Return a step of our engine, which gives the loss before it."""
    if system == "flex":
        base_of(model).set_attn_implementation(FLEX)
    training = TrainingConfig(batch_size=len(examples), deepspeed="off")
    policy = Policy(model, "padded" if system == "padded" else "prefix_shared", False)
    engine = PlainEngine(policy, training)
    device = next(model.parameters()).device
    tokens = float(sum(example.likelihood_tokens(False) for example in examples))

    def step() -> float:
        losses = StepLoss(OBJECTIVES["orpo"], training, tokens, float(len(examples)), 1, False)

        def loss_of(batch: Sequence[Example], logps: Logps) -> Any:
            return losses.loss_of(ScoredBatch(batch, logps))

        engine.update([examples], loss_of, RATE)
        return losses.result(device)["loss"]

    return step


def plain_step(model: Any, examples: Sequence[Example]) -> Callable[[], float]:
    """Return a step of a plain loop, which gives the loss before it."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, fused=True)
    device, n = trained[0].device, len(examples)
    training = TrainingConfig()
    rows = [(*item.prompt, *item.completions[side]) for side in (0, 1) for item in examples]
    ids = torch.tensor(rows, device=device)
    start = len(examples[0].prompt)
    mixed = len({parameter.dtype for parameter in model.parameters()}) > 1

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        logps = F.log_softmax(logits, dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        answers = logps[:, start - 1 :].float()
        means = answers.mean(-1)
        odds = means - torch.log1p(-means.exp())
        ratio = F.logsigmoid(odds[:n] - odds[n:]).mean()
        loss = -answers[:n].mean() - training.orpo_lambda * ratio
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def step_flops(setting: Setting, size: dict[str, int], shares_prompt: bool) -> float:
    """Return the arithmetic of a step's model, embeddings and the adapter not counted.

    The head counts for the tokens that it is computed on: the answers' in the shared layout, all
    elsewhere. Attention counts pairs of tokens that see each other.
    """
    hidden, layers = size["hidden_size"], size["num_hidden_layers"]
    keys = hidden * size["num_key_value_heads"] // size["num_attention_heads"]
    weights = layers * (2 * hidden * (hidden + keys) + 3 * hidden * size["intermediate_size"])
    prompt, answer = setting.prompt, setting.answer
    prompts = 1 if shares_prompt else 2
    tokens = prompts * prompt + 2 * answer
    seen = prompts * prompt**2 / 2 + 2 * answer * (prompt + answer / 2)
    headed = 2 * answer if shares_prompt else tokens
    forward = 2 * weights * tokens + 4 * layers * hidden * seen
    head = 2 * hidden * size["vocab_size"] * headed
    return setting.pairs * (forward + head) * (2 if setting.adapter == "lora" else 3)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
