"""Collective operations of training, all of which also work without a process group."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    """Return this process's rank; 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the sum of each value over all ranks, computed in float64."""
    total = torch.tensor(list(values), dtype=torch.float64, device=device)
    if world_size() > 1:
        dist.all_reduce(total)
    return [float(value) for value in total]


def gather(value: Any) -> list[Any]:
    """Return the values of all ranks, in rank order, on every rank.

    Values are pickled, so use this between the processes of one program only.
    """
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def agree(value: T) -> T:
    """Return rank 0's value on every rank."""
    first: T = gather(value)[0]
    return first


def wait_for_all() -> None:
    """Wait until every process has called this function."""
    if world_size() > 1:
        dist.barrier()


def sum_gradients(parameters: Sequence[torch.Tensor]) -> None:
    """Sum the gradients over all ranks, in place, with one message.

    A parameter without a gradient counts as zeros.
    """
    if world_size() == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)


@contextmanager
def process_group(wanted: bool) -> Iterator[None]:
    """Provide what DeepSpeed needs around a run: LOCAL_RANK and a process group.

    Do nothing if `wanted` is False. A launcher's variable and group stay as they are; those that
    are created here are removed afterwards.
    """
    if not wanted:
        yield
        return
    with _local_rank():
        if dist.is_initialized():
            yield
        else:
            with _group_of_one():
                yield


@contextmanager
def _local_rank() -> Iterator[None]:
    """Set LOCAL_RANK while the body runs, if it is not set.

    accelerate only looks for DeepSpeed if this variable is set, and ZeRO-3 reads it all the time.
    """
    absent = "LOCAL_RANK" not in os.environ
    os.environ.setdefault("LOCAL_RANK", "0")
    try:
        yield
    finally:
        if absent:
            del os.environ["LOCAL_RANK"]


@contextmanager
def _group_of_one() -> Iterator[None]:
    from deepspeed import comm

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    # Kept in memory: no port is opened.
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        # DeepSpeed's own function, since it also forgets the groups that DeepSpeed remembers.
        comm.destroy_process_group() if comm.is_initialized() else dist.destroy_process_group()
