"""The ORPO loss of the same tokens under TRL's trainer and under ours."""

import os
from pathlib import Path
from typing import Any

import torch

from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import LAYOUTS
from mint_ray.students.objectives.losses import ScoredBatch
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.training.step_loss import StepLoss
from tests.students.pairs import training_config

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def make_trl_trainer(model: Any, tokenizer: Any, folder: Path) -> Any:
    """TRL's ORPOTrainer around a model; its data are not looked at."""
    from datasets import Dataset
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    rows = [{"prompt": "a", "chosen": " b", "rejected": " c"}]
    settings = ORPOConfig(
        output_dir=str(folder),
        beta=0.25,
        bf16=False,
        use_cpu=True,
        report_to=[],
        activation_checkpointing=False,
    )
    return ORPOTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


def trl_batch(examples: list[Example]) -> dict[str, torch.Tensor]:
    batch = {}
    for side, name in enumerate(("chosen", "rejected")):
        rows = [(*pair.prompt, *pair.completions[side]) for pair in examples]
        length = max(map(len, rows))
        padding = [length - len(row) for row in rows]
        labels = [
            (*[-100] * len(p.prompt), *p.completions[side], *[-100] * n)
            for p, n in zip(examples, padding, strict=True)
        ]
        full = zip(rows, padding, strict=True)
        batch[f"{name}_input_ids"] = torch.tensor([[*row, *[2] * n] for row, n in full])
        masks = [[1] * (length - n) + [0] * n for n in padding]
        batch[f"{name}_attention_mask"] = torch.tensor(masks)
        batch[f"{name}_labels"] = torch.tensor(labels)
    return batch


def our_loss(model: Any, examples: list[Example], layout: str, nll_on: str) -> Any:
    training = training_config(
        batch_size=len(examples), orpo_lambda=0.25, nll_on=nll_on, loss_normalisation="global"
    )
    with_prompt = nll_on == "prompt_and_chosen"
    tokens = sum(example.likelihood_tokens(with_prompt) for example in examples)
    step_loss = StepLoss(
        OBJECTIVES[training.objective], training, tokens, len(examples), 1, with_prompt
    )
    loss = step_loss.loss_of(ScoredBatch(examples, LAYOUTS[layout](model, examples, with_prompt)))
    return loss, step_loss.result(torch.device("cpu"))
