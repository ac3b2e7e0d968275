import pytest
import torch

from mint_ray.students.meters import StepMeter
from mint_ray.students.objectives import Logps
from tests.students.conftest import training_config

CPU = torch.device("cpu")


def micro_batch(lengths: list[int]) -> Logps:
    """Pairs whose answers have one chosen length each, and -1 a token (rejected -2)."""
    counts = torch.tensor([[float(n), 3.0] for n in lengths])
    sums = counts * torch.tensor([-1.0, -2.0])
    none = torch.zeros(len(lengths))
    return Logps(sums, counts, none, none)


def loss(normalisation: str, parts: list[list[int]]) -> float:
    pairs = sum(map(len, parts))
    training = training_config(batch_size=pairs, loss_normalisation=normalisation, orpo_lambda=0.0)
    tokens = float(sum(map(sum, parts)))
    meter = StepMeter(training, tokens, len(parts))
    total = sum(float(meter.loss_of(weigh(micro_batch(part)))) for part in parts)
    assert meter.result(CPU)["loss"] == pytest.approx(total)
    return total


def weigh(logps: Logps) -> Logps:
    """Make long answers less likely, so that the mean depends on how it is taken."""
    return logps._replace(sums=logps.sums * logps.counts)


def test_global_does_not_depend_on_the_cut() -> None:
    whole = loss("global", [[2, 4, 6]])
    assert whole == pytest.approx((4 + 16 + 36) / 12)
    assert loss("global", [[2], [4, 6]]) == pytest.approx(whole)


def test_per_microbatch_is_the_mean_of_means() -> None:
    expected = (4 / 2 + (16 + 36) / 10) / 2
    assert loss("per_microbatch", [[2], [4, 6]]) == pytest.approx(expected)
    assert loss("per_microbatch", [[2, 4, 6]]) == pytest.approx(loss("global", [[2, 4, 6]]))
