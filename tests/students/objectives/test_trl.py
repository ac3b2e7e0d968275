"""The loss equals that of TRL's own ORPOTrainer, on the same tokens."""

from pathlib import Path
from typing import Any

import pytest
from torch.nn import functional as F

from mint_ray.students.logprobs.examples import Example
from tests.students.conftest import assert_same_gradients, take_gradients
from tests.students.losses import make_trl_trainer, our_loss, trl_batch


@pytest.fixture
def trl_trainer(adapted: Any, tokenizer: Any, tmp_path: Path) -> Any:
    return make_trl_trainer(adapted, tokenizer, tmp_path)


@pytest.mark.parametrize("layout", ["padded", "prefix_shared"])
def test_likelihood_on_prompt_and_chosen(
    trl_trainer: Any, adapted: Any, examples: list[Example], layout: str
) -> None:
    theirs, their_metrics = trl_trainer.get_batch_loss_metrics(adapted, trl_batch(examples))
    theirs.backward()
    expected = take_gradients(adapted)
    ours, our_metrics = our_loss(adapted, examples, layout, "prompt_and_chosen")
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    for name in ("nll_loss", "log_odds_ratio", "rewards/margins", "logps/rejected"):
        assert our_metrics[name] == pytest.approx(float(their_metrics[name]), rel=1e-4, abs=1e-6)
    assert_same_gradients(take_gradients(adapted), expected)


@pytest.mark.parametrize("layout", ["padded", "prefix_shared"])
def test_likelihood_on_the_chosen_answer(
    trl_trainer: Any, adapted: Any, examples: list[Example], layout: str
) -> None:
    """TRL's odds ratio loss, beside a likelihood on fewer tokens than its own."""
    batch = trl_batch(examples)
    chosen, rejected, logits, *_ = trl_trainer.concatenated_forward(adapted, batch)
    weighted, *_ = trl_trainer.odds_ratio_loss(chosen, rejected)
    labels = batch["chosen_labels"][:, 1:]
    nll = F.cross_entropy(logits[:, : labels.shape[1]].transpose(1, 2), labels)
    theirs = nll - weighted.mean()
    theirs.backward()
    expected = take_gradients(adapted)
    ours, _ = our_loss(adapted, examples, layout, "chosen")
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert_same_gradients(take_gradients(adapted), expected)
