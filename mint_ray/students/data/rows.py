"""Encoding of preference rows as parts of training examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from mint_ray.students.data.conversations import Conversation, Message, read_conversation
from mint_ray.students.encoding.name_trie import common_prefix, first_names
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.encoding.text import Encoder, UnusableRow, text_of
from mint_ray.students.logprobs.examples import CompletionKind, Example, Tokens
from mint_ray.tasks.prompts import answer_text


class RowEncoder:
    """Encoder of preference rows for the completions that an objective compares.

    Args:
        encoder: tokenises prompts and answers.
        compares: completions of a part. `pairs`: the chosen and the rejected answer. `chosen`: the
            chosen answer alone. `answer`: an answer with the known answer's name. `candidates`: the
            names of the row's candidates at the first list position; the known answer is one of
            them, or counts as missing.
        names: display name of every label id; needed by `answer` and `candidates`.
        k: names that a prompt asks for; decides which tokens follow the first name.
        with_header: whether to count `Example.header` of answers.
    """

    def __init__(
        self,
        encoder: Encoder,
        compares: CompletionKind,
        names: Mapping[str, str],
        k: int,
        with_header: bool = False,
    ) -> None:
        self.encoder = encoder
        self._compares, self._names, self._k = compares, names, k
        self._header: Tokens = ()
        if with_header:
            start = answer_text([""], encoder.task).removesuffix("'")
            self._header = encoder.tokens(start)

    def encode_row(self, row: Mapping[str, Any]) -> Example:
        """Encode one row.

        Raises:
            UnusableRow: see `text.Reason`.
        """
        name = str(row["preference_id"])
        conversation = read_conversation(row, with_rejected=self._compares != "chosen")
        if self._compares == "candidates":
            part = self._candidates(row, name, conversation.prompt)
        elif self._compares == "answer":
            answer = answer_text([self._name_of(_known(row))], self.encoder.task)
            part = self._answers(row, name, conversation.prompt, (self.encoder.answer(answer),))
        else:
            answers = self._chosen_and_rejected(conversation)
            part = self._answers(row, name, conversation.prompt, answers)
        if len(part.prompt) + max(map(len, part.completions)) > self.encoder.max_length:
            raise UnusableRow("too_long")
        return part

    def _chosen_and_rejected(self, conversation: Conversation) -> tuple[Tokens, ...]:
        chosen, rejected = _content(conversation.chosen), _content(conversation.rejected)
        if not chosen:
            raise UnusableRow("empty_chosen")
        if self._compares == "chosen":
            return (self.encoder.answer(chosen),)
        if not rejected:
            raise UnusableRow("empty_rejected")
        answers = (self.encoder.answer(chosen), self.encoder.answer(rejected))
        if chosen == rejected or answers[0] == answers[1]:
            raise UnusableRow("identical_answers")
        return answers

    def _answers(
        self,
        row: Mapping[str, Any],
        name: str,
        messages: Sequence[Message],
        answers: tuple[Tokens, ...],
    ) -> Example:
        prompt = self._prompt(row, messages)
        pairs = ((0, 1),) if len(answers) == 2 else ()
        return Example(
            (name,),
            prompt.ids,
            answers,
            pairs,
            (0,),
            None,
            prompt.shortened,
            vision_inputs=prompt.vision_inputs,
            # A tokenizer may merge the last of these tokens with the name.
            header=min(common_prefix((self._header, ids[:-1])) for ids in answers),
        )

    def _candidates(
        self, row: Mapping[str, Any], name: str, messages: Sequence[Message]
    ) -> Example:
        known = self._name_of(_known(row))
        names = list(dict.fromkeys(self._name_of(label) for label in row["candidates"] or ()))
        if len(names) < 2:
            raise UnusableRow("too_few_candidates")
        prompt = self._prompt(row, messages)
        prefix, completions = first_names(names, self._k, self.encoder)
        if len(set(completions)) < len(completions):
            raise UnusableRow("identical_answers")
        answer = names.index(known) if known in names else None
        nll_completions = () if answer is None else (answer,)
        return Example(
            (name,),
            prompt.ids + prefix,
            completions,
            (),
            nll_completions,
            answer,
            prompt.shortened,
            vision_inputs=prompt.vision_inputs,
        )

    def _prompt(self, row: Mapping[str, Any], messages: Sequence[Message]) -> Prompt:
        images = [_image_bytes(image) for image in row.get("images") or ()]
        return self.encoder.prompt(messages, images)

    def _name_of(self, label: str) -> str:
        if label not in self._names:
            raise UnusableRow("label_not_in_catalogue")
        return self._names[label]


def _image_bytes(value: object) -> bytes | None:
    """Return an image of a row, bytes or a mapping with them; an address is never followed."""
    if isinstance(value, Mapping):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None


def _known(row: Mapping[str, Any]) -> str:
    label = row.get("label_id")
    if not label:
        raise UnusableRow("no_known_answer")
    return str(label)


def _content(message: Message | None) -> str:
    """Return an answer's text; empty where it has no visible character."""
    if message is None:
        return ""
    if message.get("role", "assistant") != "assistant":
        raise UnusableRow("bad_messages")
    content = text_of(message.get("content"))
    if not any(c.isprintable() and c != " " for c in content):
        return ""
    return content.strip()
