"""Choice of the engine by `training.deepspeed`."""

from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.base import Engine
from mint_ray.students.engines.deepspeed import DeepSpeedEngine
from mint_ray.students.engines.deepspeed_presets import OFF
from mint_ray.students.engines.plain import PlainEngine
from mint_ray.students.logprobs.layouts import Policy


def make_engine(
    policy: Policy, training: TrainingConfig, micro_batch_size: int, accumulation: int
) -> Engine:
    """Make the engine of `training.deepspeed`; all but `off` need a process group.

    Raises:
        ConfigError: the setting is neither a preset nor a usable DeepSpeed config file.
    """
    if training.deepspeed == OFF:
        return PlainEngine(policy, training)
    return DeepSpeedEngine(policy, training, micro_batch_size, accumulation)
