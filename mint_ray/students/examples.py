"""Training examples: one prompt with the completions that an objective compares.

A preference row gives a part; the parts of one case and prompt (its windows of rejected names)
are merged into one example, so that their prompt and their common answers are computed once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mint_ray.students.encoding import Encoder, Prompt, Rejected, text_of
from mint_ray.students.pictures import Pictures
from mint_ray.students.prompts import answer_text
from mint_ray.students.trie import first_names

Compares = Literal["pairs", "chosen", "answer", "candidates"]

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and its completions; positions are places in `completions`.

    `pairs` are (chosen, rejected) positions, `likelihood` the positions that the likelihood
    term runs over (once per pair, so that it is what the rows apart would give), `answer` the
    position of the known answer where one is compared. `number` is the example's place among
    the usable ones. `pictures` are the prompt's images, whose tokens are in `prompt`.
    """

    preference_ids: tuple[str, ...]
    prompt: Tokens
    completions: tuple[Tokens, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    likelihood: tuple[int, ...] = ()
    answer: int | None = None
    shortened: bool = False
    number: int = 0
    pictures: Pictures | None = None

    @cached_property
    def prompt_targets(self) -> tuple[int, ...]:
        """Positions of the prompt that a likelihood may count.

        Not the first token, which nothing predicts, and no image token.
        """
        images = frozenset(self.pictures.places if self.pictures else ())
        return tuple(place for place in range(1, len(self.prompt)) if place not in images)

    def __len__(self) -> int:
        """Tokens of the prompt, once, and of every completion."""
        return len(self.prompt) + sum(map(len, self.completions))

    @property
    def units(self) -> int:
        """What the mean of the loss counts: pairs, or the example itself where it has none."""
        return max(1, len(self.pairs))

    def likelihood_tokens(self, with_prompt: bool) -> int:
        """Tokens of the likelihood term: its answers', and those of the prompt that count."""
        prompt = len(self.prompt_targets) if with_prompt else 0
        return sum(len(self.completions[place]) + prompt for place in self.likelihood)


def merge(parts: Sequence[Example], number: int = 0) -> Example:
    """One example of parts that share their prompt; equal completions are kept once.

    >>> a = Example(("a",), (1,), ((2,), (3,)), pairs=((0, 1),), likelihood=(0,))
    >>> b = Example(("b",), (1,), ((2,), (4,)), pairs=((0, 1),), likelihood=(0,))
    >>> merge([a, b]).completions, merge([a, b]).pairs
    (((2,), (3,), (4,)), ((0, 1), (0, 2)))
    """
    places: dict[Tokens, int] = {}
    for part in parts:
        for completion in part.completions:
            places.setdefault(completion, len(places))
    first, paired = parts[0], bool(parts[0].pairs)

    def place(part: Example, position: int) -> int:
        return places[part.completions[position]]

    pairs = [(place(p, best), place(p, worst)) for p in parts for best, worst in p.pairs]
    answers = [place(p, p.answer) for p in parts if p.answer is not None]
    liked = [place(part, position) for part in parts for position in part.likelihood]
    return Example(
        tuple(name for part in parts for name in part.preference_ids),
        first.prompt,
        tuple(places),
        tuple(pairs),
        tuple(liked) if paired else tuple(dict.fromkeys(liked)),
        answers[0] if answers else None,
        any(part.shortened for part in parts),
        number,
        first.pictures,
    )


class PartMaker:
    """Encodes preference rows as one kind of objective compares them.

    Args:
        encoder: tokenises prompts and answers.
        compares: `pairs` chosen and rejected; `chosen` the chosen answer alone; `answer` the
            known answer's name as an answer; `candidates` the names of the row's candidates
            at the first list position, the known answer among them or counted as missing.
        names: display name of every label id; needed by `answer` and `candidates`.
        k: names that a prompt asks for, which decides what follows the first one.
    """

    def __init__(
        self, encoder: Encoder, compares: Compares, names: Mapping[str, str], k: int
    ) -> None:
        self.encoder = encoder
        self._compares, self._names, self._k = compares, names, k

    def part(self, row: Mapping[str, Any]) -> Example:
        """Encode one row.

        Raises:
            Rejected: with one of `encoding.REJECTIONS`.
        """
        name = str(row["preference_id"])
        if self._compares == "candidates":
            part = self._candidates(row, name)
        elif self._compares == "answer":
            answer = answer_text([self._name_of(_known(row))], self.encoder.task)
            part = self._answers(row, name, (self.encoder.answer(answer),))
        else:
            part = self._answers(row, name, self._chosen_and_rejected(row))
        if len(part.prompt) + max(map(len, part.completions)) > self.encoder.max_length:
            raise Rejected("too_long")
        return part

    def _chosen_and_rejected(self, row: Mapping[str, Any]) -> tuple[Tokens, ...]:
        chosen, rejected = _content(row["chosen"]), _content(row["rejected"])
        if not chosen:
            raise Rejected("empty_chosen")
        if self._compares == "chosen":
            return (self.encoder.answer(chosen),)
        if not rejected:
            raise Rejected("empty_rejected")
        answers = (self.encoder.answer(chosen), self.encoder.answer(rejected))
        if chosen == rejected or answers[0] == answers[1]:
            raise Rejected("identical_answers")
        return answers

    def _answers(self, row: Mapping[str, Any], name: str, answers: tuple[Tokens, ...]) -> Example:
        prompt = self._prompt(row)
        pairs = ((0, 1),) if len(answers) == 2 else ()
        return Example(
            (name,),
            prompt.ids,
            answers,
            pairs,
            (0,),
            None,
            prompt.shortened,
            pictures=prompt.pictures,
        )

    def _candidates(self, row: Mapping[str, Any], name: str) -> Example:
        known = self._name_of(_known(row))
        names = list(dict.fromkeys(self._name_of(label) for label in row["candidates"] or ()))
        if len(names) < 2:
            raise Rejected("too_few_candidates")
        prompt = self._prompt(row)
        prefix, completions = first_names(names, self._k, self.encoder)
        if len(set(completions)) < len(completions):
            raise Rejected("identical_answers")
        answer = names.index(known) if known in names else None
        liked = () if answer is None else (answer,)
        return Example(
            (name,),
            prompt.ids + prefix,
            completions,
            (),
            liked,
            answer,
            prompt.shortened,
            pictures=prompt.pictures,
        )

    def _prompt(self, row: Mapping[str, Any]) -> Prompt:
        images = [image["bytes"] if image else None for image in row.get("images") or ()]
        return self.encoder.prompt(row["prompt"] or [], images)

    def _name_of(self, label: str) -> str:
        if label not in self._names:
            raise Rejected("label_not_in_catalogue")
        return self._names[label]


def _known(row: Mapping[str, Any]) -> str:
    label = row.get("label_id")
    if not label:
        raise Rejected("no_known_answer")
    return str(label)


def _content(messages: Sequence[Mapping[str, Any]] | None) -> str:
    """An answer's text; empty where nothing in it can be seen."""
    last = messages[-1] if messages else {}
    if not isinstance(last, Mapping):
        raise Rejected("bad_messages")
    if last.get("role", "assistant") != "assistant":
        raise Rejected("bad_messages")
    content = text_of(last.get("content"))
    if not any(c.isprintable() and c != " " for c in content):
        return ""
    return content.strip()
