import pytest
import torch

from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps
from mint_ray.students.objectives.losses import ScoredBatch
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.training.step_loss import StepLoss
from tests.students.pairs import training_config

CPU = torch.device("cpu")


def scored(lengths: list[int]) -> ScoredBatch:
    """Pairs of a chosen answer of that length and a rejected one of three tokens.

    The longer an answer, the less likely each of its tokens, so that it matters how the mean
    is taken.
    """
    examples = [
        Example(
            ("x",), (1,), ((2,) * n, (3,) * 3), preference_pairs=((0, 1),), nll_completions=(0,)
        )
        for n in lengths
    ]
    counts = torch.tensor([float(n) for length in lengths for n in (length, 3)])
    none = torch.zeros(len(lengths))
    return ScoredBatch(examples, Logps(-counts * counts, counts, none))


def loss(normalisation: str, parts: list[list[int]]) -> float:
    pairs = sum(map(len, parts))
    training = training_config(batch_size=pairs, loss_normalisation=normalisation, orpo_lambda=0.0)
    tokens = float(sum(map(sum, parts)))
    step_loss = StepLoss(
        OBJECTIVES[training.objective],
        training,
        tokens,
        float(pairs),
        len(parts),
        with_prompt=False,
    )
    total = sum(float(step_loss.loss_of(scored(part))) for part in parts)
    assert step_loss.result(CPU)["loss"] == pytest.approx(total)
    return total


def test_global_does_not_depend_on_the_cut() -> None:
    whole = loss("global", [[2, 4, 6]])
    assert whole == pytest.approx((4 + 16 + 36) / 12)
    assert loss("global", [[2], [4, 6]]) == pytest.approx(whole)


def test_per_microbatch_is_the_mean_of_means() -> None:
    expected = (4 / 2 + (16 + 36) / 10) / 2
    assert loss("per_microbatch", [[2], [4, 6]]) == pytest.approx(expected)
    assert loss("per_microbatch", [[2, 4, 6]]) == pytest.approx(loss("global", [[2, 4, 6]]))
