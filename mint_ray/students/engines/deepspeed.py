"""Training with DeepSpeed ZeRO 1, 2 and 3, set up by accelerate."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from mint_ray.common.collectives import world_size
from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.base import (
    Batch,
    LossOf,
    _adamw,
    _set_learning_rate,
    score,
    trainable,
)
from mint_ray.students.engines.deepspeed_presets import deepspeed_config
from mint_ray.students.logprobs.layouts import Logps, Policy


class DeepSpeedEngine:
    """AdamW under DeepSpeed, whose ranks share the optimizer state; gloo on CPU, NCCL on GPUs."""

    replicated = False

    def __init__(
        self, policy: Policy, training: TrainingConfig, micro_batch_size: int, accumulation: int
    ) -> None:
        from accelerate import Accelerator, DeepSpeedPlugin, InitProcessGroupKwargs
        from accelerate.state import AcceleratorState
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        config = deepspeed_config(training.deepspeed)
        self._stage = config["zero_optimization"]["stage"]
        self.name = f"zero{self._stage}"
        self._policy, self._parameters = policy, trainable(policy)
        config |= {
            "train_micro_batch_size_per_gpu": micro_batch_size,
            "gradient_accumulation_steps": accumulation,
            "gradient_clipping": training.max_grad_norm,
            "bf16": {"enabled": next(policy.parameters()).dtype == torch.bfloat16},
        }
        _leave_out_extension()
        backend = torch.distributed.get_backend()
        # accelerate's state outlives a run in this process and would refuse other settings.
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(
            gradient_accumulation_steps=accumulation,
            deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=config),
            # Without the backend's name, accelerate on CPU counts one process.
            kwargs_handlers=[InitProcessGroupKwargs(backend=backend)],
        )
        self._engine, self._optimizer = accelerator.prepare(
            policy, _adamw(self._parameters, training)
        )
        # Otherwise accelerate would look for DeepSpeed in the next run in this process.
        os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)
        # Otherwise the next model that transformers loads in this process would be cut up too.
        unset_hf_deepspeed_config()
        self._wrapped = accelerator.deepspeed_engine_wrapped
        # DeepSpeed averages over ranks and accumulation; our losses must be added.
        self._scale = world_size() * accumulation

    def update(self, batches: Sequence[Batch], loss_of: LossOf, learning_rate: float) -> float:
        """See `Engine.update`."""
        _set_learning_rate(self._optimizer, learning_rate)
        for number, batch in enumerate(batches, start=1):
            loss = loss_of(batch, self._engine(batch)) * self._scale
            # The last backward pass also clips and steps.
            self._wrapped.backward(loss, sync_gradients=number == len(batches))
        norm = float(self._wrapped.get_global_grad_norm())
        # DeepSpeed reports a norm that is not finite as -1.
        return norm if norm >= 0 else math.nan

    def score(self, batch: Batch) -> Logps:
        """See `Engine.score`."""
        return score(self._engine, self._policy, batch)

    def whole(self) -> AbstractContextManager[Any]:
        """See `Engine.whole`."""
        if self._stage < 3:
            return nullcontext()
        from deepspeed.runtime.zero import GatheredParameters

        context: AbstractContextManager[Any] = GatheredParameters(self._parameters)
        return context

    def state(self) -> dict[str, Any]:
        """See `Engine.state`; holds this rank's partition of the weights and of AdamW's moments."""
        with self._optimizing_partitions():
            moments = self._engine.optimizer.optimizer.state_dict()
        return {"optimizer": moments, "partitions": [part.detach() for part in self._partitions()]}

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Engine.load_state`."""
        for part, saved in zip(self._partitions(), state["partitions"], strict=True):
            part.data.copy_(saved)
        with self._optimizing_partitions():
            self._engine.optimizer.optimizer.load_state_dict(state["optimizer"])

    def _partitions(self) -> list[Tensor]:
        """Return the float32 weights that this rank's optimizer updates."""
        zero = self._engine.optimizer
        parts: list[Tensor] = (
            zero.single_partition_of_fp32_groups
            if self._stage < 3
            else zero.fp32_partitioned_groups_flat
        )
        return parts

    @contextmanager
    def _optimizing_partitions(self) -> Iterator[None]:
        """Give ZeRO-3's inner optimizer its partitions, which it otherwise has in a step only."""
        zero = self._engine.optimizer
        if self._stage == 3:
            zero._set_fp32_optimizer_param_groups()
        try:
            yield
        finally:
            if self._stage == 3:
                zero._clear_fp32_optimizer_param_groups()


def _leave_out_extension() -> None:
    """Keep DeepSpeed from compiling its extension for CPUs, which serves inference alone.

    It would be built at the first use on each machine: by a compiler that need not be there, for
    minutes, and a build that is killed leaves a file behind for which every later one waits.
    """
    from deepspeed import ops

    ops.__compatible_ops__["deepspeed_shm_comm"] = False
