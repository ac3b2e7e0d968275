"""Weights of linear layers in the order in which a CPU's kernels for half precision read them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        # By identity, with the weight itself, whose identity is then no other's.
        self._packed: dict[int, tuple[Tensor, Tensor | None]] = {}

    def linear(self, states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the linear layer of states (rows, K)."""
        packed = self._pack(weight) if isinstance(weight, nn.Parameter) else None
        if packed is None:
            return F.linear(states, weight, bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")
        return out

    def _pack(self, weight: Tensor) -> Tensor | None:
        """Return a weight packed, None if it cannot be."""
        if id(weight) not in self._packed:
            try:
                packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), self._rows)
            except (AttributeError, RuntimeError):  # an operator that this build of torch lacks
                packed = None
            self._packed[id(weight)] = weight, packed
        return self._packed[id(weight)][1]
