"""DPO's loss and gradients equal those of TRL's own DPOTrainer, on the same tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from mint_ray.students.examples import Example
from mint_ray.students.layouts import LAYOUTS
from mint_ray.students.meters import StepMeter
from mint_ray.students.objectives import Scored
from tests.students.conftest import training_config

BETA = 0.3


@pytest.fixture
def adapted(model: Any) -> Any:
    """The tiny model with an adapter that changes what it says."""
    torch.manual_seed(1)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return adapted


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


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("layout", ["plain", "shared"])
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
    expected = gradients(adapted)

    with torch.no_grad(), adapted.disable_adapter():
        reference = LAYOUTS[layout](adapted, examples, False).sums
    training = training_config(objective="dpo", dpo_beta=BETA, batch_size=len(examples))
    meter = StepMeter(training, 0.0, len(examples), 1, with_prompt=False)
    logps = LAYOUTS[layout](adapted, examples, False)
    ours = meter.loss_of(Scored(examples, logps, reference))
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    found = gradients(adapted)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        scale = float(expected[name].abs().max())
        assert float((gradient - expected[name]).abs().max()) <= 1e-4 * scale
