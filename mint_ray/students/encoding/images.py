"""Encoding of chat messages with images as token ids and pixels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError
from PIL.Image import Image

from mint_ray.common.digests import digest_of
from mint_ray.images.decode import open_tile
from mint_ray.students.encoding.prompt import Prompt, VisionInputs
from mint_ray.students.encoding.text import Encoder, UnusableRow
from mint_ray.tasks.task import DISEASE, Task

_TEXT_INPUTS = ("input_ids", "attention_mask")


class ShownImage(NamedTuple):
    """A decoded image in RGB, and the hex digest of the file that it was decoded from."""

    pixels: Image
    digest: str


def show(encoded: object) -> ShownImage:
    """Decode an image for a model.

    Args:
        encoded: a file's content, as bytes; anything else is refused.

    Raises:
        UnusableRow: for a reason of `open_tile`.
    """
    opened = open_tile(encoded)
    if isinstance(opened, str):
        raise UnusableRow(opened)
    assert isinstance(encoded, bytes)  # anything else was refused
    return ShownImage(opened, digest_of(encoded))


class ImageEncoder(Encoder):
    """Encoder of prompts whose messages show images; see `Encoder`.

    A prompt is not shortened, because it would lose image tokens or its question.

    Args:
        processor: Hugging Face processor of an image-and-text model, with a chat template.
    """

    def __init__(
        self, processor: Any, max_prompt_length: int, max_length: int, task: Task = DISEASE
    ) -> None:
        self.processor = processor
        super().__init__(processor.tokenizer, max_prompt_length, max_length, task)
        token = getattr(processor, "image_token_id", None)
        self._image_token = int(token) if token is not None else None

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[object] = ()
    ) -> Prompt:
        """Encode a prompt and its images.

        Args:
            messages: role and content; content is text, or parts of type `text` and `image`.
            images: encoded bytes, in the order of the image parts.

        Raises:
            UnusableRow: `too_long`; `bad_messages`; `image_count` where the number of images is not
                the number of image parts; or the reason why an image cannot be used (see `show`).
        """
        turns = self._turns(messages, len(images))
        return self._encode(turns, [show(encoded) for encoded in images])

    def prompt_of_shown(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[ShownImage]
    ) -> Prompt:
        """Encode a prompt with images that are decoded already; see `prompt`."""
        return self._encode(self._turns(messages, len(images)), images)

    def _turns(self, messages: Sequence[Mapping[str, Any]], n_images: int) -> list[dict[str, Any]]:
        """Return messages with their content as cleaned parts, of which `n_images` are images."""
        turns = [self._parts(message) for message in messages]
        if not turns:
            raise UnusableRow("bad_messages")
        image_parts = sum(part["type"] == "image" for turn in turns for part in turn["content"])
        if image_parts != n_images:
            raise UnusableRow("image_count")
        return turns

    def _encode(self, turns: list[dict[str, Any]], images: Sequence[ShownImage]) -> Prompt:
        try:
            text = self.processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False
            )
        except TemplateError as error:  # a role, or an order of roles, that the model has not
            raise UnusableRow("bad_messages") from error
        inputs = dict(
            self.processor(
                text=[text],
                images=[[image.pixels for image in images]] if images else None,
                add_special_tokens=False,
                return_tensors="pt",
            )
        )
        ids = self._within(inputs["input_ids"][0].tolist())
        if not images:
            return Prompt(ids)
        tensors = {name: value for name, value in inputs.items() if name not in _TEXT_INPUTS}
        # Each image is hashed before they are joined: joined bytes would not tell where one ends.
        digest = digest_of(*(bytes.fromhex(image.digest) for image in images))
        positions = tuple(index for index, token in enumerate(ids) if token == self._image_token)
        return Prompt(ids, False, VisionInputs(tensors, positions, digest))

    def _template(self, turns: Sequence[tuple[str, str]]) -> str:
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns
        ]
        rendered: str = self.processor.apply_chat_template(messages, tokenize=False)
        return rendered

    def _parts(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message with its content as a list of cleaned parts."""
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
    """Make the encoder of a model: for images if it has a processor, else for text."""
    if processor is None:
        return Encoder(tokenizer, max_prompt_length, max_length, task)
    return ImageEncoder(processor, max_prompt_length, max_length, task)
