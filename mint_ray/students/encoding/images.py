"""From chat messages with images to token ids and pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from mint_ray.common.digests import digest_of
from mint_ray.images.decode import open_tile
from mint_ray.students.encoding.text import Encoder, Prompt, UnusableRow
from mint_ray.students.encoding.vision_inputs import VisionInputs
from mint_ray.tasks.task import DISEASE, Task

_TEXT_INPUTS = ("input_ids", "attention_mask")


class ImageEncoder(Encoder):
    """Encodes prompts whose messages show images; see `Encoder`.

    A prompt is never shortened: neither its images' tokens nor its question.

    Args:
        processor: Hugging Face processor of an image-and-text model, with a chat template.
    """

    def __init__(
        self, processor: Any, max_prompt_length: int, max_length: int, task: Task = DISEASE
    ) -> None:
        self.processor = processor
        super().__init__(processor.tokenizer, max_prompt_length, max_length, task)
        found = getattr(processor, "image_token_id", None)
        self._image_token = int(found) if found is not None else None

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[object] = ()
    ) -> Prompt:
        """Token ids of a prompt, and what the model takes to see its images.

        Args:
            messages: role and content; content is text, or parts of type `text` and `image`.
            images: encoded bytes, in the order of the image parts.

        Raises:
            UnusableRow: `too_long`; `bad_messages`; `image_count` where there are not as many
                images as image parts; or why an image shows nothing (`image_missing`,
                `image_unreadable`, `image_too_large`, `image_too_small`, `image_blank`).
        """
        turns = [self._parts(message) for message in messages]
        if not turns:
            raise UnusableRow("bad_messages")
        shown = sum(part["type"] == "image" for turn in turns for part in turn["content"])
        if shown != len(images):
            raise UnusableRow("image_count")
        opened = []
        for encoded in images:
            image = open_tile(encoded)
            if isinstance(image, str):
                raise UnusableRow(image)
            opened.append(image)
        try:
            text = self.processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False
            )
        except TemplateError as error:  # a role, or an order of roles, that the model has not
            raise UnusableRow("bad_messages") from error
        inputs = dict(
            self.processor(
                text=[text],
                images=[opened] if opened else None,
                add_special_tokens=False,
                return_tensors="pt",
            )
        )
        ids = self._within(inputs["input_ids"][0].tolist())
        if not opened:
            return Prompt(ids)
        tensors = {name: value for name, value in inputs.items() if name not in _TEXT_INPUTS}
        # Of each image apart, so that what one ends with counts as its own.
        digest = digest_of(
            *(bytes.fromhex(digest_of(one if isinstance(one, bytes) else b"")) for one in images)
        )
        places = tuple(place for place, token in enumerate(ids) if token == self._image_token)
        return Prompt(ids, False, VisionInputs(tensors, places, digest))

    def _template(self, turns: Sequence[tuple[str, str]]) -> str:
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns
        ]
        rendered: str = self.processor.apply_chat_template(messages, tokenize=False)
        return rendered

    def _parts(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message whose content is a list of parts."""
        if isinstance(message, Mapping) and isinstance(message.get("content"), str):
            turn = self._turn(message)
            return turn | {"content": [{"type": "text", "text": turn["content"]}]}
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
            raise UnusableRow("bad_messages")
        parts = [self._part(part) for part in message["content"]]
        return {"role": self._turn({**message, "content": ""})["role"], "content": parts}

    def _part(self, part: Any) -> dict[str, str]:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "image":
            return {"type": "image"}
        text = part.get("text") if kind == "text" else None
        if not isinstance(text, str):
            raise UnusableRow("bad_messages")
        return {"type": "text", "text": self.clean(text)}


def make_encoder(
    tokenizer: Any, processor: Any | None, max_prompt_length: int, max_length: int, task: Task
) -> Encoder:
    """The encoder of a model: for images where it has a processor, for text where it has none."""
    if processor is None:
        return Encoder(tokenizer, max_prompt_length, max_length, task)
    return ImageEncoder(processor, max_prompt_length, max_length, task)
