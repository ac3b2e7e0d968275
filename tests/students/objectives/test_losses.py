import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps
from mint_ray.students.objectives.losses import LossTerms, ScoredBatch, dpo, orpo, sft
from mint_ray.students.objectives.rcft import CaseBins
from mint_ray.students.objectives.registry import OBJECTIVES
from tests.students.pairs import training_config

MEANS = st.floats(-1e4, 0.0)
DTYPES = [torch.float32, torch.bfloat16]


def scored(sums: Tensor, examples: list[Example], **more: Any) -> ScoredBatch:
    """Completions of one token each, so that sums are means."""
    none = sums.new_zeros(len(examples))
    return ScoredBatch(examples, Logps(sums, torch.ones_like(sums), none), **more)


def pairs(number: int) -> list[Example]:
    return [Example(("x",), (1,), ((2,), (3,)), ((0, 1),), (0,), index=n) for n in range(number)]


def candidates(answer: int | None, number: int = 0) -> Example:
    liked = () if answer is None else (answer,)
    completions = ((2,), (3,), (4,), (5,))
    return Example(("x",), (1,), completions, (), liked, answer, index=number)


def total(terms: LossTerms) -> Tensor:
    return terms.token_sum + terms.unit_sum


@pytest.mark.parametrize("dtype", DTYPES)
@given(chosen=MEANS, rejected=MEANS)
@settings(max_examples=200, deadline=None)
def test_orpo_and_its_gradient_are_finite_everywhere(
    dtype: torch.dtype, chosen: float, rejected: float
) -> None:
    sums = torch.tensor([chosen, rejected], dtype=dtype, requires_grad=True)
    loss = total(orpo(scored(sums, pairs(1)), training_config()))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(sums.grad).all()


@given(chosen=MEANS, rejected=MEANS)
@settings(max_examples=200, deadline=None)
def test_orpo_in_float32_equals_float64(chosen: float, rejected: float) -> None:
    single = torch.tensor([chosen, rejected], dtype=torch.float32)
    losses = [
        float(total(orpo(scored(sums, pairs(1)), training_config(orpo_lambda=1.0))))
        for sums in (single, single.double())
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_gradients_are_the_derivatives(name: str) -> None:
    pair_like = OBJECTIVES[name].compares in ("pairs", "chosen")
    examples = pairs(2) if pair_like else [candidates(1), candidates(None, 1)]
    size = sum(len(example.completions) for example in examples)
    torch.manual_seed(0)
    sums = (-3 * torch.rand(size, dtype=torch.float64) - 0.01).requires_grad_()
    bins = CaseBins(torch.tensor([0, 1]), torch.tensor([0.5, 0.2]).double(), torch.tensor([1, 1]))
    reference = -torch.rand(size, dtype=torch.float64)
    settings = training_config(objective=name)

    def loss(values: Tensor) -> Tensor:
        return total(
            OBJECTIVES[name].terms(
                scored(values, examples, reference=reference, bins=bins), settings
            )
        )

    # The targets of rcft are constants of the M-step, so finite differences would move them.
    if name == "rcft":
        loss(sums).backward()
        assert torch.isfinite(sums.grad).all()
        assert float(sums.grad.abs().sum()) > 0
    else:
        assert torch.autograd.gradcheck(loss, sums)


def test_orpo_by_hand() -> None:
    chosen, rejected = math.log(0.8), math.log(0.5)  # odds 4 and 1, odds ratio 4
    terms = orpo(scored(torch.tensor([chosen, rejected]), pairs(1)), training_config())
    assert float(terms.token_sum) == pytest.approx(-chosen)
    assert float(terms.unit_sum) == pytest.approx(-0.1 * math.log(0.8), rel=1e-5)
    assert float(terms.metrics["rewards/accuracies"]) == 1.0


def test_odds_over_names_by_hand() -> None:
    """Four header tokens of log-probability -0.4 in all; two own tokens, or a single one."""
    example = Example(
        ("x",), (1,), ((9, 9, 9, 9, 2, 3), (9, 9, 9, 9, 4)), ((0, 1),), (0,), header=4
    )
    own = 2 * math.log(0.8), math.log(0.5)  # mean probabilities 0.8 and 0.5: odds 4 and 1
    sums = torch.tensor([own[0] - 0.4, own[1] - 0.4])
    logps = Logps(sums, torch.tensor([6, 5]), torch.zeros(1), torch.tensor([-0.4]))
    batch = ScoredBatch([example], logps)
    names = orpo(batch, training_config(odds_over="names"))
    assert float(names.metrics["log_odds_chosen"]) == pytest.approx(math.log(4), rel=1e-5)
    assert float(names.unit_sum) == pytest.approx(-0.1 * math.log(0.8), rel=1e-5)
    answer = orpo(batch, training_config())
    odds = [math.exp(float(sums[i]) / n) for i, n in ((0, 6), (1, 5))]
    by_hand = math.log(odds[0] / (1 - odds[0])) - math.log(odds[1] / (1 - odds[1]))
    assert float(answer.metrics["log_odds_chosen"]) == pytest.approx(by_hand, rel=1e-4)
    # The likelihood is that of the whole answer either way.
    assert float(names.token_sum) == float(answer.token_sum) == pytest.approx(0.4 - own[0])


def test_rejected_sets_of_a_case_count_as_rows_apart() -> None:
    sums = torch.tensor([-1.0, -2.0, -3.0])
    together = Example(("a", "b"), (1,), ((2,), (3,), (4,)), ((0, 1), (0, 2)), (0, 0))
    apart = scored(sums[[0, 1, 0, 2]], pairs(2))
    for objective in (orpo, sft):
        one = objective(scored(sums, [together]), training_config())
        two = objective(apart, training_config())
        assert float(one.token_sum) == pytest.approx(float(two.token_sum))
        assert float(one.unit_sum) == pytest.approx(float(two.unit_sum))


def test_dpo_by_hand() -> None:
    sums, reference = torch.tensor([-1.0, -4.0]), torch.tensor([-2.0, -3.0])
    terms = dpo(scored(sums, pairs(1), reference=reference), training_config(dpo_beta=0.5))
    assert float(terms.token_sum) == 0.0
    assert float(terms.unit_sum) == pytest.approx(-math.log(1 / (1 + math.exp(-1.0))))
    assert float(terms.metrics["rewards/margins"]) == pytest.approx(1.0)


def test_dpo_starts_at_log_two() -> None:
    sums = torch.tensor([-1.0, -4.0])
    terms = dpo(scored(sums, pairs(1), reference=sums), training_config())
    assert float(terms.unit_sum) == pytest.approx(math.log(2))


def test_cft_counts_a_missing_answer_as_wrong() -> None:
    sums = torch.tensor([-1.0, -2.0, -3.0, -4.0] * 2)
    terms = OBJECTIVES["cft"].terms(
        scored(sums, [candidates(0), candidates(None)]), training_config(objective="cft")
    )
    assert float(terms.token_sum) == pytest.approx(1.0)
    assert float(terms.metrics["accuracy"]) == 1.0
    assert float(terms.metrics["confidence"]) == pytest.approx(2 * 0.6439, abs=1e-3)


def test_rcft_pulls_an_overconfident_student_down() -> None:
    bins = CaseBins(torch.tensor([0]), torch.tensor([0.3]), torch.tensor([1]))
    sums = torch.tensor([-0.1, -3.0, -3.5, -4.0], requires_grad=True)
    settings = training_config(objective="rcft")
    OBJECTIVES["rcft"].terms(scored(sums, [candidates(0)], bins=bins), settings).unit_sum.backward()
    assert float(sums.grad[0]) > 0
    assert (sums.grad[1:] < 0).all()


def test_rcft_without_the_answer_among_the_candidates_keeps_the_prompt_alone() -> None:
    sums = torch.tensor([-1.0, -2.0, -3.0, -4.0] * 2)
    prompts = torch.tensor([-7.0, -11.0])
    bins = CaseBins(torch.tensor([0, -1]), torch.tensor([0.3]), torch.tensor([1]))
    examples = [candidates(0), candidates(None, 1)]
    settings = training_config(objective="rcft")
    batch = ScoredBatch(examples, Logps(sums, torch.ones_like(sums), prompts), bins=bins)
    both = OBJECTIVES["rcft"].terms(batch, settings)
    assert float(both.token_sum) == pytest.approx(1.0 + 7.0 + 11.0)
    first = OBJECTIVES["rcft"].terms(scored(sums[:4], [candidates(0)], bins=bins), settings)
    assert float(both.unit_sum) == pytest.approx(float(first.unit_sum))
    alone = scored(sums[:4], [candidates(None, 1)], bins=bins)
    assert float(OBJECTIVES["rcft"].terms(alone, settings).unit_sum) == 0.0


def test_the_tokens_of_a_prompt_without_its_answer_count() -> None:
    example = Example(("x",), (1, 2, 3), ((4,), (5,)))
    assert example.likelihood_tokens(with_prompt=True) == 2
    assert example.likelihood_tokens(with_prompt=False) == 0


def test_rcft_takes_the_targets_of_the_setting() -> None:
    bins = CaseBins(torch.tensor([0]), torch.tensor([0.6]), torch.tensor([1]))
    # At the accuracy already, and in the ratio of the proportional targets.
    sums = torch.tensor([0.6, 0.3, 0.1]).log()
    example = Example(("x",), (1,), ((2,), (3,), (4,)), (), (0,), 0)
    losses = {
        name: float(
            OBJECTIVES["rcft"]
            .terms(
                scored(sums, [example], bins=bins),
                training_config(objective="rcft", rcft_targets=name),
            )
            .unit_sum
        )
        for name in ("paper", "proportional")
    }
    assert losses["proportional"] == pytest.approx(0.0, abs=1e-9)
    assert losses["paper"] > 1e-3


@pytest.mark.parametrize("name", ["dpo", "rcft"])
def test_what_an_objective_needs_is_said(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        OBJECTIVES[name].terms(scored(torch.tensor([-1.0, -2.0]), pairs(1)), training_config())
