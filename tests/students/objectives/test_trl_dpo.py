"""DPO's loss and gradients equal those of TRL's own DPOTrainer, on the same tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import LAYOUTS
from mint_ray.students.objectives.losses import ScoredBatch
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.training.step_loss import StepLoss
from tests.students.conftest import assert_same_gradients, take_gradients
from tests.students.pairs import training_config

BETA = 0.3


@pytest.fixture
def trl_trainer(adapted: Any, tokenizer: Any, tmp_path: Path) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = [{"prompt": "a", "chosen": " b", "rejected": " c"}]
    settings = DPOConfig(
        output_dir=str(tmp_path),
        beta=BETA,
        bf16=False,
        use_cpu=True,
        report_to=[],
        activation_checkpointing=False,
    )
    trainer = DPOTrainer(
        model=adapted,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    # It copies an adapter that it is given as reference; the base model is the reference here.
    adapted.delete_adapter("ref")
    return trainer


@pytest.mark.parametrize("layout", ["padded", "prefix_shared"])
def test_loss_and_gradients(
    trl_trainer: Any, adapted: Any, examples: list[Example], layout: str
) -> None:
    adapted.eval()
    rows = [
        {"prompt_ids": e.prompt, "chosen_ids": e.completions[0], "rejected_ids": e.completions[1]}
        for e in examples
    ]
    batch = trl_trainer.data_collator([{k: list(v) for k, v in row.items()} for row in rows])
    theirs = trl_trainer.compute_loss(adapted, dict(batch))
    theirs.backward()
    expected = take_gradients(adapted)

    with torch.no_grad(), adapted.disable_adapter():
        reference = LAYOUTS[layout](adapted, examples, False).sums
    training = training_config(objective="dpo", dpo_beta=BETA, batch_size=len(examples))
    step_loss = StepLoss(
        OBJECTIVES[training.objective], training, 0.0, len(examples), 1, with_prompt=False
    )
    logps = LAYOUTS[layout](adapted, examples, False)
    ours = step_loss.loss_of(ScoredBatch(examples, logps, reference))
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert_same_gradients(take_gradients(adapted), expected)
