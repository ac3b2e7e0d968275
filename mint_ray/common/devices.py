"""Choice of the device and of the precision that a process computes with."""

import ctypes
import logging
import os
import time
from functools import lru_cache
from typing import Literal

import torch

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16"]

HALF = (torch.bfloat16, torch.float16)
"""Types of half precision."""

FASTER = 1.3
"""Least ratio of times at which `auto` takes bfloat16 on a CPU."""


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_KEPT = 2**30
_LARGEST_TRIM = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks of up to 1 GiB for the next ones, in this process.

    glibc asks the operating system for every block of more than 32 MiB and gives it back when it is
    freed. A training step frees and asks for gigabytes, whose pages the system has to clear anew:
    this was a fifth of a step's time on two cores. `release_freed_memory` gives back what is kept.
    Other C libraries are left alone, and so are processes whose environment has glibc's variable
    MALLOC_MMAP_THRESHOLD_.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    if not set_option(_M_MMAP_THRESHOLD, _LARGEST_KEPT):
        set_option(_M_MMAP_THRESHOLD, 2**25)  # the most that older releases of glibc take
    set_option(_M_TRIM_THRESHOLD, _LARGEST_TRIM)


def release_freed_memory() -> None:
    """Give the operating system back what the C library keeps of freed memory.

    glibc keeps freed blocks within its heaps. Where every step asks for blocks of other sizes, as
    rows of other lengths do, they rarely fit and the heaps grow. Other C libraries are left alone.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
    """Return the dtype of a model's weights.

    `auto` is bfloat16 on GPUs that support it, and on CPUs that have instructions for it if a
    measured product is faster; else float32.
    """
    if precision == "auto":
        native = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else device.type == "cpu" and bfloat16_pays()
        )
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@lru_cache(maxsize=1)
def bfloat16_pays() -> bool:
    """Return whether this CPU multiplies matrices of bfloat16 faster; the answer is logged.

    It must have AVX512-BF16 or AMX: without them PyTorch computes in float32 and converts. A short
    product of a small model's size is then timed in both, since a virtual machine may announce
    instructions that it runs slowly.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        logger.info("bfloat16: no instructions for it on this CPU")
        return False
    ratio = _seconds(torch.float32) / _seconds(torch.bfloat16)
    logger.info("bfloat16: products %.1f times as fast as float32 on this CPU", ratio)
    return ratio >= FASTER


def _seconds(dtype: torch.dtype) -> float:
    """Return the least time of a product of (512, 576) and (576, 1536) in seconds."""
    hidden = torch.ones(512, 576, dtype=dtype)
    weight = torch.ones(1536, 576, dtype=dtype)
    times = []
    for _ in range(7):  # the first ones load kernels
        started = time.perf_counter()
        torch.nn.functional.linear(hidden, weight)
        times.append(time.perf_counter() - started)
    return min(times)
