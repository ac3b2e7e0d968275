"""The smoothed likelihood equals torch's cross entropy with `label_smoothing`, token by token."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mint_ray.config.config import Config, ResourcesConfig
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import LAYOUTS
from mint_ray.students.objectives.losses import ScoredBatch, orpo, sft
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.training.step_loss import StepLoss
from tests.students.conftest import assert_same_gradients, take_gradients
from tests.students.pairs import training_config

SMOOTHING = 0.1


def torchs(model: Any, examples: list[Example], with_prompt: bool) -> Tensor:
    logits, targets = [], []
    for example in examples:
        ids = torch.tensor([[*example.prompt, *example.completions[0]]])
        first = 1 if with_prompt else len(example.prompt)
        logits.append(model(ids).logits[0, first - 1 : -1])
        targets.append(ids[0, first:])
    return F.cross_entropy(torch.cat(logits), torch.cat(targets), label_smoothing=SMOOTHING)


@pytest.mark.parametrize("layout", ["padded", "prefix_shared"])
@pytest.mark.parametrize("nll_on", ["chosen", "prompt_and_chosen"])
@pytest.mark.parametrize("objective", ["sft", "orpo"])
def test_loss_and_gradients_are_torchs(
    adapted: Any, examples: list[Example], layout: str, nll_on: str, objective: str
) -> None:
    with_prompt = nll_on == "prompt_and_chosen"
    theirs = torchs(adapted, examples, with_prompt)
    theirs.backward()
    expected = take_gradients(adapted)
    settings = training_config(
        objective=objective, nll_on=nll_on, label_smoothing=SMOOTHING, orpo_lambda=0.0
    )
    tokens = sum(example.likelihood_tokens(with_prompt) for example in examples)
    loss_of = StepLoss(OBJECTIVES[objective], settings, tokens, len(examples), 1, with_prompt)
    logps = LAYOUTS[layout](adapted, examples, with_prompt, True)
    ours = loss_of.loss_of(ScoredBatch(examples, logps))
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert_same_gradients(take_gradients(adapted), expected)


@torch.no_grad()
def test_the_odds_ratio_is_not_smoothed(adapted: Any, examples: list[Example]) -> None:
    batch = ScoredBatch(examples, LAYOUTS["padded"](adapted, examples, False, True))
    plain, smoothed = (
        orpo(batch, training_config(label_smoothing=smoothing)) for smoothing in (0.0, SMOOTHING)
    )
    assert float(smoothed.unit_sum) == float(plain.unit_sum)
    assert float(smoothed.token_sum) > float(plain.token_sum)


def test_smoothing_without_its_means_is_refused(adapted: Any, examples: list[Example]) -> None:
    batch = ScoredBatch(examples, LAYOUTS["padded"](adapted, examples, False, False))
    with pytest.raises(ValueError, match="with_means"):
        sft(batch, training_config(label_smoothing=SMOOTHING))


@pytest.mark.parametrize(
    ("name", "value"), [("label_smoothing", SMOOTHING), ("odds_over", "names")]
)
def test_trl_has_the_paper_s_loss_alone(name: str, value: object) -> None:
    settings = training_config(trainer="trl", **{name: value})
    with pytest.raises(ValueError, match=name):
        Config(training=settings, resources=ResourcesConfig(train_workers=1))
