"""Products with packed weights are those of the weights."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mint_ray.students.ranking import packed_weights
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


def test_rankers_of_one_model_pack_a_weight_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pack, packed = torch.ops.mkldnn._reorder_linear_weight, []

    def counted(weight: torch.Tensor, rows: int) -> torch.Tensor:
        packed.append(rows)
        found: torch.Tensor = pack(weight, rows)
        return found

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", counted)
    layer, states = nn.Linear(32, 16).bfloat16(), torch.ones(64, 32).bfloat16()
    with torch.inference_mode():
        first, second = (PackedWeights(64).linear(states, layer.weight) for _ in range(2))
    assert packed == [64]
    assert torch.equal(first, second)


def test_a_weight_that_has_changed_is_packed_anew() -> None:
    layer, states = nn.Linear(32, 16).bfloat16(), torch.ones(64, 32).bfloat16()
    with torch.no_grad():
        PackedWeights(64).linear(states, layer.weight)
        layer.weight.fill_(2.0)
        found = PackedWeights(64).linear(states, layer.weight)
    assert float(found[0, 0]) == 64.0


def test_packed_weights_go_with_their_model() -> None:
    layer, states = nn.Linear(32, 16).bfloat16(), torch.ones(64, 32).bfloat16()
    before = len(packed_weights._PACKED)
    with torch.inference_mode():
        PackedWeights(64).linear(states, layer.weight)
    assert len(packed_weights._PACKED) == before + 1
    del layer
    gc.collect()
    assert len(packed_weights._PACKED) == before


def test_where_torch_cannot_pack_the_product_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not built with it")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    layer, states = nn.Linear(32, 16).bfloat16(), torch.ones(64, 32).bfloat16()
    with torch.inference_mode():
        found = PackedWeights(64).linear(states, layer.weight, layer.bias)
        assert torch.equal(found, F.linear(states, layer.weight, layer.bias))
