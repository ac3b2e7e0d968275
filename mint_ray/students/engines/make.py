"""Make."""

from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.base import OFF, Engine
from mint_ray.students.engines.deepspeed import DeepSpeedEngine
from mint_ray.students.engines.plain import PlainEngine
from mint_ray.students.logprobs.layouts import Policy


def make_engine(
    policy: Policy, training: TrainingConfig, micro_batch_size: int, accumulation: int
) -> Engine:
    """The engine of `training.deepspeed`; needs a process group unless that is `off`.

    Raises:
        ConfigError: an unknown preset, or a file that is not a usable DeepSpeed config.
    """
    if training.deepspeed == OFF:
        return PlainEngine(policy, training)
    return DeepSpeedEngine(policy, training, micro_batch_size, accumulation)
