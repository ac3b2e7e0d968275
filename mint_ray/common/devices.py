"""The device and the precision that a process computes with."""

import os
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(device: str | None = None) -> torch.device:
    """The device asked for, else this process's GPU, else the CPU.

    Under Ray Train or another launcher, workers of a node may all see all of its GPUs:
    ACCELERATE_TORCH_DEVICE or LOCAL_RANK says which one is this process's. Where
    CUDA_VISIBLE_DEVICES shows a process its own alone, as in Ray's actors, that is the first one
    whatever its rank.
    """
    if device is None and torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        device = os.environ.get("ACCELERATE_TORCH_DEVICE", f"cuda:{local}")
    return torch.device(device or "cpu")


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Weights' precision: `auto` is bfloat16 on GPUs that have it, float32 elsewhere."""
    if precision == "auto":
        half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if half else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
