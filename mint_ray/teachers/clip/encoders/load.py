"""Choice of the encoders that the settings name."""

from mint_ray.config.teacher import ClipConfig
from mint_ray.teachers.clip.encoders.base import EMBEDDED, Encoders
from mint_ray.teachers.clip.encoders.embedded import EmbeddedEncoders


def load_encoders(config: ClipConfig) -> Encoders:
    """Load the configured encoders, on a GPU where there is one.

    Raises:
        ConfigError: the checkpoint is not a CLIP model.
        TeacherError: the checkpoint cannot be loaded.
        MintError: a package of the embedded encoders is not installed.
    """
    if config.checkpoint == EMBEDDED:
        return EmbeddedEncoders()
    from mint_ray.teachers.clip.encoders.checkpoint import CheckpointEncoders

    return CheckpointEncoders(config.checkpoint, config.revision)
