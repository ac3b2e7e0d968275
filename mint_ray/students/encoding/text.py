"""Encoding of chat messages and answers as token ids.

Prompt and answer are tokenised separately, in training and in ranking, so that no token lies across
their border.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jinja2 import TemplateError

from mint_ray.images.faults import Fault
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.tasks.prompts import break_token, split_note
from mint_ray.tasks.task import DISEASE, Task

# No tokenizer packs more characters than this into a token of running text; a note is first
# cut to this many characters per allowed token, so that a huge one costs nothing.
_CHARACTERS_PER_TOKEN = 50

# Roles of chat templates; anything else could carry template tokens past the cleaning of text.
_ROLES = ("system", "developer", "user", "assistant", "tool")

Reason = Literal[
    "too_long",
    "empty_chosen",
    "empty_rejected",
    "identical_answers",
    "bad_messages",  # not role and content, or answers that do not belong to one prompt
    "prefilled_answer",  # the prompt ends in an assistant's turn
    "duplicate_id",
    "unknown_split",
    "no_known_answer",
    "label_not_in_catalogue",
    "too_few_candidates",
    "image_count",  # not as many images as its prompt shows, or as can be seen
]
"""Why a row cannot be used."""


class UnusableRow(Exception):  # noqa: N818 - a row's fate, not a failure
    """A row that cannot be used, for a `reason` of its own or of its image."""

    def __init__(self, reason: Reason | Fault) -> None:
        super().__init__(reason)
        self.reason = reason


class Encoder:
    """Encoder of prompts and answers with one tokenizer, under the configured length limits.

    Args:
        tokenizer: Hugging Face tokenizer with a chat template.
        max_prompt_length: most prompt tokens; a longer note loses its tail.
        max_length: most tokens of the prompt and one answer.
        task: decides how an answer begins.
    """

    def __init__(
        self, tokenizer: Any, max_prompt_length: int, max_length: int, task: Task = DISEASE
    ) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.max_prompt_length = max_prompt_length
        self.max_length = max_length
        self.turn_end = self._turn_end()
        self._special = sorted(
            {str(token) for token in tokenizer.all_special_tokens if len(str(token)) > 1}, key=len
        )[::-1]

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[object] = ()
    ) -> Prompt:
        """Encode a prompt up to where the answer starts.

        Only the note is shortened, at its end; the instruction stays whole.

        Args:
            messages: role and content (text); the last one may hold a note.
            images: must be empty: this encoder's model takes text alone.

        Raises:
            UnusableRow: `too_long` where the prompt does not fit without its note either;
                `bad_messages` where the messages are not role and text; `image_count` where there
                is an image.
        """
        if images:
            raise UnusableRow("image_count")
        turns = [self._turn(message) for message in messages]
        if not turns:
            raise UnusableRow("bad_messages")
        parts = split_note(turns[-1]["content"])
        if parts is None:
            return Prompt(self._within(self._render(turns)))
        before, note, after = parts
        limit = self.max_prompt_length * _CHARACTERS_PER_TOKEN
        shortened = len(note) > limit
        note = note[:limit]
        while True:
            ids = self._render([*turns[:-1], {**turns[-1], "content": before + note + after}])
            excess = len(ids) - self.max_prompt_length
            if excess <= 0:
                return Prompt(tuple(ids), shortened)
            if not note:
                raise UnusableRow("too_long")
            note, shortened = self._drop_tail(note, excess), True

    def answer(self, text: str) -> tuple[int, ...]:
        """Return the token ids of an assistant's answer and of the end of its turn."""
        return (*self.tokens(self.clean(text.strip())), *self.turn_end)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text alone."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _turn(self, message: Mapping[str, Any]) -> dict[str, str]:
        if not isinstance(message, Mapping):
            raise UnusableRow("bad_messages")
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or not isinstance(content, str):
            raise UnusableRow("bad_messages")
        return {"role": str(role), "content": self.clean(content)}

    def clean(self, text: str) -> str:
        """Break the tokenizer's special tokens in a text, and replace what UTF-8 cannot hold."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        for token in self._special:
            text = text.replace(token, break_token(token))
        return text

    def _render(self, turns: list[dict[str, str]]) -> list[int]:
        try:
            encoded = self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=True
            )
        except TemplateError as error:  # a role, or an order of roles, that the model has not
            raise UnusableRow("bad_messages") from error
        return list(encoded["input_ids"])

    def _turn_end(self) -> tuple[int, ...]:
        """Return the ids that the chat template puts after an answer, white space stripped."""
        probe = "answer"
        text = self._template([("user", "q"), ("assistant", probe)])
        suffix = text[text.rindex(probe) + len(probe) :].strip() or self.tokenizer.eos_token or ""
        return tuple(self.tokenizer(suffix, add_special_tokens=False)["input_ids"])

    def _template(self, turns: Sequence[tuple[str, str]]) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        rendered: str = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return rendered

    def _within(self, ids: list[int]) -> tuple[int, ...]:
        if len(ids) > self.max_prompt_length:
            raise UnusableRow("too_long")
        return tuple(ids)

    def _drop_tail(self, note: str, excess: int) -> str:
        encoded = self.tokenizer(note, add_special_tokens=False, return_offsets_mapping=True)
        keep = len(encoded["input_ids"]) - excess
        if keep <= 0:
            return ""
        end = encoded["offset_mapping"][keep][0]
        # Always shorter than before, also where a character spans several tokens.
        return note[: min(end, len(note) - 1)].rstrip()


def text_of(content: Any) -> str:
    """Return a message's text: its content, or its joined text parts; empty without any."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "".join(text for text in texts if isinstance(text, str))
