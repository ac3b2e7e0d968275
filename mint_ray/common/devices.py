"""Choice of the device and of the precision that a process computes with."""

import os
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(device: str | None = None) -> torch.device:
    """Return the requested device, else this process's GPU, else the CPU.

    Under Ray Train or another launcher, all workers of a node may see all of its GPUs. Then
    ACCELERATE_TORCH_DEVICE or LOCAL_RANK gives this process's GPU. In Ray's actors,
    CUDA_VISIBLE_DEVICES shows a process only its own GPU, which is the first one whatever the rank.
    """
    if device is None and torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        device = os.environ.get("ACCELERATE_TORCH_DEVICE", f"cuda:{local}")
    return torch.device(device or "cpu")


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of weights: `auto` is bfloat16 on GPUs that support it, else float32."""
    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
