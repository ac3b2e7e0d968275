"""ViLT with a classification head: loading, and its logits.

The head (hidden → 2 × hidden → classes) is that of transformers' `ViltForQuestionAnswering`, which
is the one that GestaltMML describes (arXiv 2312.15320: 768 → 1536 → 528).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoTokenizer, ViltConfig, ViltForQuestionAnswering

from mint_ray.common.digests import sha256
from mint_ray.config.teacher import GestaltMMLConfig
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.teachers.gestaltmml.inputs import Inputs

HEAD = "classifier."


def load_checkpoint(config: GestaltMMLConfig, n_classes: int | None) -> tuple[Any, Any]:
    """Load model and tokenizer of a checkpoint. Only safetensors are read; no code of it is run.

    Args:
        config: names the checkpoint.
        n_classes: of a new head; None keeps the head of the checkpoint.

    Raises:
        ConfigError: the checkpoint has another architecture.
        TeacherError: it cannot be loaded, or has no head although it needs one.
    """
    checkpoint, options = config.checkpoint, {"trust_remote_code": False}
    if not Path(checkpoint).is_dir():
        options["revision"] = config.revision  # type: ignore[assignment]
    try:
        settings = AutoConfig.from_pretrained(checkpoint, **options)
        if not isinstance(settings, ViltConfig):
            raise ConfigError(
                f"teacher.gestaltmml.checkpoint={checkpoint}: expected a ViLT model, found "
                f"{settings.model_type}"
            )
        if n_classes is not None:
            settings.num_labels = n_classes
        model, loading = ViltForQuestionAnswering.from_pretrained(
            checkpoint,
            config=settings,
            use_safetensors=True,
            ignore_mismatched_sizes=n_classes is not None,
            output_loading_info=True,
            **options,
        )
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, **options)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise TeacherError(
            f"teacher.gestaltmml.checkpoint={checkpoint}: cannot be loaded "
            f"({type(error).__name__}); expected a name on the Hugging Face Hub or a folder with "
            "safetensors weights and a tokenizer"
        ) from error
    missing = [name for name in loading["missing_keys"] if name.startswith(HEAD)]
    if n_classes is None and missing:
        raise TeacherError(
            f"teacher.gestaltmml.checkpoint={checkpoint}: expected a classifier with the weights "
            f"{', '.join(sorted(missing))}, found a ViLT without them; use fit=train"
        )
    return model, tokenizer


def checkpoint_facts(config: GestaltMMLConfig, model: Any) -> dict[str, Any]:
    """Return name and revision of the checkpoint; of a folder the hashes of its weights."""
    folder = Path(config.checkpoint)
    if folder.is_dir():
        revision: Any = {f.name: sha256(f)[:16] for f in sorted(folder.glob("*.safetensors"))}
    else:
        revision = getattr(model.config, "_commit_hash", None) or config.revision
    return {"checkpoint": config.checkpoint, "revision": revision}


def class_logits(model: Any, inputs: Inputs) -> Tensor:
    """Return the logits (n, n_classes), on the device of the model.

    Patches of a patient without an image are masked, so that the words alone count.

    Args:
        model: a `ViltForQuestionAnswering`.
        inputs: on any device.
    """
    weight = model.vilt.embeddings.patch_embeddings.projection.weight
    inputs = inputs.to(weight.device)
    patches = embed_images(model.vilt.embeddings, inputs.pixels)
    is_seen = inputs.has_image[:, None].expand(-1, patches.shape[1]).long()
    logits: Tensor = model(
        input_ids=inputs.tokens,
        attention_mask=inputs.is_token,
        image_embeds=patches,
        pixel_mask=is_seen,
    ).logits
    return logits


def embed_images(embeddings: Any, pixels: Tensor) -> Tensor:
    """Return (n, 1 + patches, hidden): the embedded patches of images of one size.

    Equal to ViLT's own embedding but for the order of the patches, which ViLT draws at random from
    torch's global state: the same image would not give the same logits to the last bit.

    Args:
        embeddings: `ViltModel.embeddings`.
        pixels: (n, 3, side, side) uint8.
    """
    scaled = pixels.float() / 127.5 - 1  # mean and deviation 0.5, as ViLT's image processor
    patches = embeddings.patch_embeddings(scaled)
    n, width, *grid = patches.shape
    positions = embeddings.position_embeddings
    size = embeddings.config.image_size // embeddings.config.patch_size
    spatial = positions[:, 1:].transpose(1, 2).view(1, width, size, size)
    spatial = F.interpolate(spatial, size=tuple(grid), mode="bilinear", align_corners=True)
    first = (embeddings.cls_token + positions[:, :1]).expand(n, -1, -1)
    embedded = torch.cat([first, (patches + spatial).flatten(2).transpose(1, 2)], dim=1)
    dropped: Tensor = embeddings.dropout(embedded)
    return dropped
