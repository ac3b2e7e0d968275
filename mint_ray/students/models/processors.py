"""Processors of image-and-text models, without torchvision.

The image processors are those of transformers that need only Pillow. Processors that insist on a
video processor, which needs torchvision, are assembled from their other parts.
"""

import json
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer

from mint_ray.errors import TrainingError
from mint_ray.students.models.base_models import BaseModel, load_tokenizer

# Same layout of image tokens, without the video part and its further package.
_STAND_INS = {"smolvlm": "idefics3"}


def load_processor(base: BaseModel) -> Any | None:
    """Load the processor of a model that sees images; None for a model of text alone.

    Raises:
        TrainingError: the processor cannot be assembled, or has no chat template.
    """
    source: dict[str, Any] = {
        "revision": None if base.is_local else base.revision,
        "trust_remote_code": False,
    }
    if not base.sees_images:
        return None
    try:
        processor = AutoProcessor.from_pretrained(base.path, backend="pil", **source)
    except (ImportError, ValueError, OSError, TypeError):
        processor = _from_parts(base, source)
    if not (processor.chat_template or processor.tokenizer.chat_template):
        raise TrainingError(
            f"student.base_model={base.reference}: expected a processor with a chat template, "
            "found none; use an instruction-tuned model"
        )
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def load_readers(base: BaseModel) -> tuple[Any, Any | None]:
    """Load the tokenizer of a model, and its processor where it sees images.

    Raises:
        TrainingError: see `load_processor` and `load_tokenizer`.
    """
    processor = load_processor(base)
    return (load_tokenizer(base) if processor is None else processor.tokenizer), processor


def _from_parts(base: BaseModel, source: dict[str, Any]) -> Any:
    from transformers.models.auto.processing_auto import processor_class_from_name

    try:
        kind = AutoConfig.from_pretrained(base.path, **source).model_type
        name = _class_names()[_STAND_INS.get(kind, kind)]
        image_processor = AutoImageProcessor.from_pretrained(base.path, backend="pil", **source)
        tokenizer = AutoTokenizer.from_pretrained(base.path, **source)
        processor = _without_video(processor_class_from_name(name))(
            image_processor=image_processor,
            tokenizer=tokenizer,
            chat_template=tokenizer.chat_template or _template(base, source),
            **_settings(base, source),
        )
    except (ImportError, ValueError, OSError, KeyError, TypeError) as error:
        raise TrainingError(
            f"student.base_model={base.reference}: expected a processor that works with Pillow "
            f"alone, found none ({type(error).__name__}: {error}); use another model"
        ) from error
    return processor


def _class_names() -> dict[str, str]:
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    names: dict[str, str] = dict(PROCESSOR_MAPPING_NAMES)
    return names


def _settings(base: BaseModel, source: dict[str, Any]) -> dict[str, Any]:
    """Read the settings of `processor_config.json` that decide how many tokens an image gets."""
    from transformers.processing_utils import ProcessorMixin

    try:
        config, _ = ProcessorMixin.get_processor_dict(base.path, **source)
    except (OSError, KeyError):  # the file is absent, which transformers says in several ways
        return {}
    names = ("image_seq_len", "patch_size", "vision_feature_select_strategy")
    return {name: config[name] for name in names if config.get(name) is not None}


def _template(base: BaseModel, source: dict[str, Any]) -> str | None:
    """Read the chat template of a file beside a processor rather than in its tokenizer."""
    from transformers.utils import cached_file

    for name in ("chat_template.jinja", "chat_template.json"):
        file = cached_file(base.path, name, _raise_exceptions_for_missing_entries=False)
        if file:
            text = Path(file).read_text(encoding="utf-8")
            return text if name.endswith(".jinja") else str(json.loads(text)["chat_template"])
    return None


@lru_cache
def _without_video(cls: type) -> type:
    """Derive a processor class that does not need a video processor."""

    @wraps(cls.__init__)  # type: ignore[misc]
    def __init__(self: Any, **parts: Any) -> None:  # noqa: N807
        if "video_processor" in self.get_attributes():
            parts["video_processor"] = None
        cls.__init__(self, **parts)  # type: ignore[misc]

    def check(self: Any, name: str, part: Any) -> Any:
        if name == "video_processor" and part is None:
            return type(None)
        return cls.check_argument_for_proper_class(self, name, part)  # type: ignore[attr-defined]

    def attributes(kind: Any) -> list[str]:
        names: list[str] = cls.get_attributes()  # type: ignore[attr-defined]
        return names

    def save(self: Any, folder: Any, **_: Any) -> None:
        self.image_processor.save_pretrained(folder)
        self.tokenizer.chat_template = self.chat_template
        self.tokenizer.save_pretrained(folder)

    return type(
        cls.__name__,
        (cls,),
        {
            "__init__": __init__,
            "check_argument_for_proper_class": check,
            "get_attributes": classmethod(attributes),
            "save_pretrained": save,
        },
    )


MOST_SIDE = 4096
"""Size above which a processor's size is taken for an area."""


def seen_side(processor: Any) -> int | None:
    """Return the longest side, in pixels, to which a processor resizes images; None if unknown."""
    size = getattr(getattr(processor, "image_processor", None), "size", None) or {}
    sides = [
        size[name] for name in ("height", "width", "longest_edge", "shortest_edge") if name in size
    ]
    # Some models state areas under these names, in pixels.
    return int(max(sides)) if sides and max(sides) <= MOST_SIDE else None
