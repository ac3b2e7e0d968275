"""Weights of linear layers in the order in which a CPU's kernels for half precision read them."""

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True)
class _Packed:
    rows: int
    version: int
    """Number of changes in place that the weight had seen."""
    weight: Tensor | None
    """None if the weight cannot be packed."""


_PACKED: MutableMapping[Tensor, _Packed] = WeakTensorKeyDictionary()
"""By weight, as long as the weight lives. Students that share a base model share its weights."""


class PackedWeights:
    """The packed weights of a model that is no longer trained, for products of `rows` rows.

    torch puts a weight into this order anew at every product, which takes a third of the time of a
    product of few rows. The packed weights take as much memory as the weights. Where torch cannot
    pack them, products are computed as ever.

    Args:
        rows: of each product.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def linear(self, states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the linear layer of states (rows, K)."""
        packed = self._pack(weight) if isinstance(weight, nn.Parameter) else None
        if packed is None:
            return F.linear(states, weight, bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")
        return out

    def _pack(self, weight: Tensor) -> Tensor | None:
        """Return a weight packed, None if it cannot be."""
        version = 0 if weight.is_inference() else weight._version
        found = _PACKED.get(weight)
        if found is None or (found.rows, found.version) != (self._rows, version):
            try:
                packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), self._rows)
            except (AttributeError, RuntimeError):  # an operator that this build of torch lacks
                packed = None
            found = _PACKED[weight] = _Packed(self._rows, version, packed)
        return found.weight
