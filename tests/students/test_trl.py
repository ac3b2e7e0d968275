"""The loss equals that of TRL's own ORPOTrainer, on the same tokens."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from mint_ray.students.examples import Example
from mint_ray.students.layouts import LAYOUTS
from mint_ray.students.meters import StepMeter
from mint_ray.students.objectives import Scored
from tests.students.conftest import training_config

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture
def trl_trainer(model: Any, tokenizer: Any, tmp_path: Path) -> Any:
    from datasets import Dataset
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    rows = [{"prompt": "a", "chosen": " b", "rejected": " c"}]
    settings = ORPOConfig(
        output_dir=str(tmp_path), beta=0.25, bf16=False, use_cpu=True, report_to=[]
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
    meter = StepMeter(training, tokens, len(examples), 1, with_prompt)
    loss = meter.loss_of(Scored(examples, LAYOUTS[layout](model, examples, with_prompt)))
    return loss, meter.result(torch.device("cpu"))


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_loss_metrics_and_gradients_with_nll_on_prompt_and_chosen(
    trl_trainer: Any, model: Any, examples: list[Example], layout: str
) -> None:
    theirs, their_metrics = trl_trainer.get_batch_loss_metrics(model, trl_batch(examples))
    theirs.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    ours, our_metrics = our_loss(model, examples, layout, "prompt_and_chosen")
    ours.backward()
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    for name in ("nll_loss", "log_odds_ratio", "rewards/margins", "logps/rejected"):
        assert our_metrics[name] == pytest.approx(float(their_metrics[name]), rel=1e-4, abs=1e-6)
    for name, parameter in model.named_parameters():
        scale = float(gradients[name].abs().max())
        assert float((parameter.grad - gradients[name]).abs().max()) <= 1e-4 * scale


@pytest.mark.parametrize("layout", ["plain", "shared"])
def test_loss_with_nll_on_the_chosen_answer(
    trl_trainer: Any, model: Any, examples: list[Example], layout: str
) -> None:
    batch = trl_batch(examples)
    chosen, rejected, logits, *_ = trl_trainer.concatenated_forward(model, batch)
    weighted, *_ = trl_trainer.odds_ratio_loss(chosen, rejected)
    labels = batch["chosen_labels"][:, 1:]
    nll = F.cross_entropy(logits[:, : labels.shape[1]].transpose(1, 2), labels)
    ours, _ = our_loss(model, examples, layout, "chosen")
    assert float(ours) == pytest.approx(float(nll - weighted.mean()), rel=1e-5)
