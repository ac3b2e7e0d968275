"""Seconds of a training step with `training.attention: varlen` and with `sdpa`, on the same cases.

    python benchmarks/varlen_attention.py --pairs PREFER_FOLDER/train.parquet \
        --out benchmarks/results/varlen_attention.json

The whole embedded model is trained by ORPO's loss. Both attentions compute each micro-batch one
after the other, forward and backward, without the optimizer: a ratio is of two computations within
seconds of each other, since machines are noisy. Every `--turns` ratio is of another step's cases.
`padding` is the part of the tokens in SDPA's rows that no case needs.
"""

import argparse
import json
import statistics
import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch
from record_run import hardware

from mint_ray.common.devices import bfloat16_pays
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.pipeline.manifest import package_versions
from mint_ray.students.data import schedule
from mint_ray.students.data.batches import cut
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import prefix_shared_logps
from mint_ray.students.logprobs.packing import first_fit, own_tokens
from mint_ray.students.logprobs.prefixes import shared_beginning
from mint_ray.students.logprobs.varlen_attention import VARLEN
from mint_ray.students.training.setup import TrainingState, setup_training
from mint_ray.students.training_spec import TrainingSpec

BATCH = 32
ATTENTIONS = ("sdpa", VARLEN)


def prepare(pairs: Path, precision: Any) -> TrainingState:
    """Load the pairs, and the embedded model with all of its weights to be trained."""
    spec = TrainingSpec(
        pairs,
        Path(),
        student=StudentConfig(adapter="full", max_prompt_length=320, max_length=400),
        training=TrainingConfig(
            batch_size=BATCH, precision=precision, deepspeed="off", max_steps=1, attention="sdpa"
        ),
        k=1,
        seed=0,
    )
    return setup_training(spec, None)


def micro_batch(state: TrainingState, step: int, size: int) -> list[Example]:
    """Return a micro-batch of a step; steps take turns among the places of a micro-batch."""
    rows = schedule.rows_of_step(len(state.data), BATCH, 0, step)
    parts = cut([state.data.usable.lengths[row] for row in rows], size, 1)
    return [state.data.example(rows[position]) for position in parts[step % len(parts)]]


def padding(state: TrainingState, examples: list[Example]) -> float:
    """Return the part of padding in the rows that SDPA computes."""
    prefix = len(shared_beginning(state.policy.model, examples))
    lengths = [own_tokens(example, prefix) for example in examples]
    rows = first_fit(lengths, max(lengths))
    longest = max(sum(lengths[item] for item in row) for row in rows)
    return 1 - sum(lengths) / (len(rows) * longest)


def seconds(state: TrainingState, examples: list[Example], attention: str) -> float:
    """Return the seconds of one forward and backward pass."""
    model = state.policy.model
    model.set_attn_implementation(attention)
    started = time.perf_counter()
    sums = prefix_shared_logps(model, examples, False).sums
    sums.sum().backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    return time.perf_counter() - started


def measure(state: TrainingState, size: int, turns: int) -> dict[str, Any]:
    """Compare both attentions on micro-batches of so many cases; the first turn warms up."""
    times: dict[str, list[float]] = {attention: [] for attention in ATTENTIONS}
    empty = []
    for turn in range(turns + 1):
        examples = micro_batch(state, turn, size)
        order = ATTENTIONS if turn % 2 else ATTENTIONS[::-1]
        taken = {attention: seconds(state, examples, attention) for attention in order}
        if turn:
            empty.append(padding(state, examples))
            for attention, value in taken.items():
                times[attention].append(value / size)
    ratios = [a / b for a, b in zip(times["sdpa"], times[VARLEN], strict=True)]
    return {
        "micro_batch": size,
        "padding": statistics.mean(empty),
        "seconds_a_case": {name: statistics.median(values) for name, values in times.items()},
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def main() -> None:
    """Measure every precision and size, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    precisions = ["bfloat16", "float32"] if bfloat16_pays() else ["float32"]
    states = {precision: prepare(options.pairs, precision) for precision in precisions}
    rows = []
    for precision, size in product(precisions, options.sizes):
        rows.append({"precision": precision} | measure(states[precision], size, options.turns))
        print(rows[-1], flush=True)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": package_versions(),
        "threads": options.threads,
        "rows": rows,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
