"""Throughput and peak memory of ORPO: TRL's ORPOTrainer and ours, on the same tokens.

    python benchmarks/orpo_throughput.py --out benchmarks/results/orpo_throughput.json

Each measurement is a fresh process that takes a warm-up step and then `--steps` measured ones. The
systems take turns, `--rounds` times. Both start from the embedded model (or `--model`, a folder)
with the same LoRA and AdamW, without activation checkpointing. TRL's objective takes the likelihood
on prompt and chosen answer; ours is measured in the same way, and on the chosen answer alone. Both
sides have the model in the precision of the row. As it comes, TRL has it in float32 on a CPU.

Memory is measured separately, over one step: the peak minus the memory held before the step, which
is activations, gradients and optimizer state. On a CPU the allocator has to return freed memory at
once (MALLOC_MMAP_THRESHOLD_), or the figure would include memory that it keeps for later.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from record_run import hardware

# Prompt and completion in tokens, and pairs per step: the longest do not fit 24 GiB four at a time
# under TRL.
SHAPES = ("150/60/4", "400/120/4", "700/150/4", "1000/60/2")
SYSTEMS = ("trl", "prompt_and_chosen", "chosen")
WORD = " a"
PAGE = os.sysconf("SC_PAGE_SIZE")


def bound(prompt: int, completion: int) -> float:
    """Return the best ratio from sharing a prompt: 2(p + c) / (p + 2c), the ratio of tokens."""
    return 2 * (prompt + completion) / (prompt + 2 * completion)


class Memory:
    """Peak memory above the level at construction."""

    def __init__(self, cuda: bool) -> None:
        import torch

        self._torch, self._cuda = torch, cuda
        self._stop = threading.Event()
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._before = self._now()
        self._peak = self._before
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak(self) -> float:
        """Stop watching and return the peak in MiB."""
        self._stop.set()
        self._thread.join()
        if self._cuda:
            self._peak = self._torch.cuda.max_memory_allocated()
        return (self._peak - self._before) / 2**20

    def _now(self) -> int:
        if self._cuda:
            return int(self._torch.cuda.memory_allocated())
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE

    def _watch(self) -> None:
        while not self._cuda and not self._stop.wait(0.01):
            self._peak = max(self._peak, self._now())


def measure_trl(job: dict[str, Any]) -> dict[str, Any]:
    """Measure TRL's trainer, with its own tokenisation, collator and loop."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from transformers import TrainerCallback
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    model, tokenizer, cuda = load(job)
    steps = job["steps"] + job["warm_up"]
    trainer = ORPOTrainer(
        model=with_lora(model),
        args=ORPOConfig(
            output_dir=tempfile.mkdtemp(),
            beta=0.1,
            bf16=cuda and job["precision"] == "bfloat16",
            use_cpu=not cuda,
            activation_checkpointing=False,
            per_device_train_batch_size=job["batch"],
            max_steps=steps,
            max_length=4096,
            learning_rate=5e-5,
            max_grad_norm=0.3,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=rows(job, job["batch"] * steps),
        processing_class=tokenizer,
    )
    example = trainer.train_dataset[0]
    lengths = [len(example["prompt_input_ids"])]
    lengths += [len(example[f"{side}_input_ids"]) for side in ("chosen", "rejected")]
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        memory: Memory | None = None

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if self.memory is None:
                self.memory = Memory(cuda)
            times.append(-time.perf_counter())

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            wait(cuda)
            times[-1] += time.perf_counter()

    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    assert clock.memory is not None
    return {
        "seconds": times[job["warm_up"] :],
        "peak_mb": clock.memory.peak(),
        "lengths": lengths,
    }


def measure_ours(job: dict[str, Any]) -> dict[str, Any]:
    """Measure our engine, layout and objective on examples of the same lengths as TRL's."""
    from mint_ray.config.training import TrainingConfig
    from mint_ray.students.engines.plain import PlainEngine
    from mint_ray.students.logprobs.examples import Example
    from mint_ray.students.logprobs.layout_check import choose_attention, choose_layout
    from mint_ray.students.logprobs.layouts import Logps, Policy
    from mint_ray.students.objectives.losses import ScoredBatch
    from mint_ray.students.objectives.registry import OBJECTIVES
    from mint_ray.students.training.step_loss import StepLoss

    model, tokenizer, cuda = load(job)
    model = with_lora(model)
    prompt_tokens, chosen_tokens, rejected_tokens = job["lengths"]
    word = tokenizer(WORD, add_special_tokens=False)["input_ids"]
    with_prompt = job["system"] == "prompt_and_chosen"
    starts = [tokenizer(f" {letter}")["input_ids"] for letter in "bcdefghi"[: job["batch"]]]
    example = Example(
        ("row",),
        tuple(word * prompt_tokens),
        # TRL counts a completion with its prompt.
        tuple(tuple(word * (n - prompt_tokens)) for n in (chosen_tokens, rejected_tokens)),
        preference_pairs=((0, 1),),
        nll_completions=(0,),
    )
    training = TrainingConfig(batch_size=job["batch"], deepspeed="off", max_grad_norm=0.3)
    choose_attention("auto", "auto", model, example)
    policy = Policy(model, choose_layout("auto", model, example), with_prompt)
    engine = PlainEngine(policy, training)
    # Prompts that begin alike would be computed once for the whole batch.
    batch = [replace(example, prompt=(*start, *example.prompt[len(start) :])) for start in starts]
    tokens = float(sum(item.likelihood_tokens(with_prompt) for item in batch))
    memory = Memory(cuda)
    times = []
    for _ in range(job["steps"] + job["warm_up"]):
        started = time.perf_counter()
        step_loss = StepLoss(
            OBJECTIVES[training.objective], training, tokens, float(len(batch)), 1, with_prompt
        )

        def loss_of(
            examples: Sequence[Example], logps: Logps, step_loss: StepLoss = step_loss
        ) -> Any:
            return step_loss.loss_of(ScoredBatch(examples, logps))

        engine.update([batch], loss_of, 5e-5)
        wait(cuda)
        times.append(time.perf_counter() - started)
    return {
        "seconds": times[job["warm_up"] :],
        "peak_mb": memory.peak(),
        "layout": policy.layout,
    }


def load(job: dict[str, Any]) -> tuple[Any, Any, bool]:
    """Load the model on its device and its tokenizer; return also whether the device is a GPU."""
    import torch

    from mint_ray.common.devices import pick_device, pick_dtype
    from mint_ray.students.models.base_models import (
        load_base_model,
        load_tokenizer,
        resolve_base_model,
    )

    torch.set_num_threads(job["threads"])
    base, device = resolve_base_model(job["model"]), pick_device()
    model = load_base_model(base, pick_dtype(job["precision"], device), device)
    for parameter in model.parameters():
        # Weights are mapped from the file: read them now, so that no step is charged for them.
        parameter.sum()
    return model.train(), load_tokenizer(base), device.type == "cuda"


def with_lora(model: Any) -> Any:
    """Add LoRA of rank 16 on all linear layers, the same for both systems."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, settings)


def rows(job: dict[str, Any], number: int) -> Any:
    """Return a dataset whose rows all have the lengths of `job["shape"]` in TRL's tokens.

    The last token of an answer is TRL's end token.
    """
    from datasets import Dataset

    prompt, completion = job["shape"]
    row = {
        "prompt": (WORD * prompt).strip(),
        "chosen": WORD * (completion - 1),
        "rejected": WORD * (completion - 1),
    }
    return Dataset.from_list([row] * number)


def wait(cuda: bool) -> None:
    """Wait until the GPU has finished, before a clock is read."""
    if cuda:
        import torch

        torch.cuda.synchronize()


def in_a_process(job: dict[str, Any]) -> dict[str, Any]:
    """Measure one system in a fresh process: times after a warm-up step, or else memory."""
    environment = os.environ | {"OMP_NUM_THREADS": str(job["threads"])}
    if not job["warm_up"]:
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{job['system']} at {job['shape']} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    quantity = "time" if job["warm_up"] else "memory"
    print(job["shape"], job["precision"], job["system"], quantity, measured, flush=True)
    return measured


def measure_shape(common: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Measure all systems at one shape: times in turns, then memory; add ratios to TRL's."""
    prompt, completion = common["shape"]
    batch = common["batch"]
    seconds: dict[str, list[float]] = {system: [] for system in SYSTEMS}
    lengths: list[int] = []
    result: dict[str, Any] = {"prompt": prompt, "completion": completion, "batch": batch}
    result["precision"] = common["precision"]
    for turn in range(rounds + 1):
        for system in SYSTEMS:
            job = common | {"system": system, "lengths": lengths}
            if turn < rounds:
                measured = in_a_process(job | {"warm_up": 1})
                seconds[system] += measured["seconds"]
                lengths = measured.get("lengths", lengths)
                continue
            result[system] = {
                "pairs_per_s": batch / statistics.median(seconds[system]),
                "seconds_per_step": seconds[system],
                "peak_mb": in_a_process(job | {"warm_up": 0, "steps": 1})["peak_mb"],
            }
    peer = result["trl"]
    for system in SYSTEMS[1:]:
        result[system] |= {
            "ratio": result[system]["pairs_per_s"] / peer["pairs_per_s"],
            "bound": bound(prompt, completion),
            "memory_ratio": result[system]["peak_mb"] / peer["peak_mb"],
        }
    return result


def main() -> None:
    """Measure every shape and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shapes", nargs="*", default=SHAPES)
    parser.add_argument("--precisions", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--keep", action="store_true", help="keep what --out has of other shapes")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = json.loads(options.job)
        measure: Callable[[dict[str, Any]], Any]
        measure = measure_trl if job["system"] == "trl" else measure_ours
        print(json.dumps(measure(job)))
        return
    from mint_ray.pipeline.manifest import package_versions

    shapes = []
    if options.keep and options.out:
        shapes = json.loads(options.out.read_text(encoding="utf-8"))["shapes"]
    for text, precision in itertools.product(options.shapes, options.precisions):
        common = {name: getattr(options, name) for name in ("model", "steps", "threads")}
        *common["shape"], common["batch"] = [int(part) for part in text.split("/")]
        common["precision"] = precision
        shapes.append(measure_shape(common, options.rounds))
        result = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": hardware() | {"threads": options.threads},
            "versions": package_versions() | {"trl": version("trl")},
            "model": options.model,
            "shapes": shapes,
        }
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
