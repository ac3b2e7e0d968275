"""Products with packed weights are those of the weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mint_ray.students.ranking.packed_weights import PackedWeights


@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_that_of_the_weight(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias).bfloat16()
    weights, states = PackedWeights(64), torch.randn(64, 48).bfloat16()
    with torch.inference_mode():
        for _ in range(2):  # packed, and kept
            found = weights.linear(states, layer.weight, layer.bias)
            torch.testing.assert_close(found, F.linear(states, layer.weight, layer.bias))


def test_two_weights_are_not_taken_for_each_other() -> None:
    weights, states = PackedWeights(64), torch.ones(64, 32).bfloat16()
    with torch.inference_mode():
        sums = [
            float(weights.linear(states, nn.Parameter(torch.full((16, 32), x).bfloat16()))[0, 0])
            for x in (1.0, 2.0, 3.0)
        ]
    assert sums == [32.0, 64.0, 96.0]


def test_where_torch_cannot_pack_the_product_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not built with it")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    layer, states = nn.Linear(32, 16).bfloat16(), torch.ones(64, 32).bfloat16()
    with torch.inference_mode():
        found = PackedWeights(64).linear(states, layer.weight, layer.bias)
        assert torch.equal(found, F.linear(states, layer.weight, layer.bias))
