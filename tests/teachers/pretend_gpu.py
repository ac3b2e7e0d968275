"""A pretended GPU: PyTorch's fake tensors know their device, and hold no numbers.

An operation on tensors of two devices is refused as on a real GPU, and so is `numpy()` of a tensor
that is not on the CPU. Numbers that leave a tensor are ones or zeros.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

GPU = torch.device("meta")


_KINDS = {torch.float32: np.float32, torch.float64: np.float64, torch.int64: np.int64}


def _numpy(tensor: torch.Tensor, *args: Any, **options: Any) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"expected a tensor on the CPU, found one on {tensor.device}")
    return np.zeros(tuple(tensor.shape), _KINDS[tensor.dtype])


def _to(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Move a module; PyTorch's own way does not know fake parameters."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                moved = parameter.detach().to(device)
                part._parameters[name] = torch.nn.Parameter(moved, parameter.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to(device)
    return module


@contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Make and compute tensors without numbers while the body runs."""
    with monkeypatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        patch.setattr(torch.Tensor, "numpy", _numpy)
        patch.setattr(torch.Tensor, "item", lambda tensor: 1.0)
        patch.setattr(torch.nn.Module, "to", _to)
        yield GPU
