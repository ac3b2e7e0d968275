"""Replies of a server, and the labels that they name."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.tasks.answers import parse_list
from mint_ray.tasks.task import Task
from mint_ray.teachers.endpoint.questions import OPTIONS
from mint_ray.teachers.label_lookup import LabelLookup

_REMARK = re.compile(r"\s*(?:[(\[:]|,? probability\b| [-–—] ).*", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """One reply to a question.

    Attributes:
        text: the answer; empty if the server gave none.
        top_logprobs: log-probabilities by token at the first place of the answer, where asked for.
        tokens: of prompt and answer, as the server counts them; 0 where it does not.
    """

    text: str
    top_logprobs: tuple[tuple[str, float], ...] = ()
    tokens: int = 0


def read_completion(completion: Any) -> Reply | None:
    """Return the reply of a chat completion, or None if it is none.

    Args:
        completion: an object of the `openai` package, which takes nearly any JSON for one.
    """
    try:
        choice = completion.choices[0]
        text = choice.message.content or ""
        logprobs = getattr(choice, "logprobs", None)
        places = (logprobs.content or []) if logprobs is not None else []
        first = places[0].top_logprobs if places else ()
        top = tuple((entry.token, float(entry.logprob)) for entry in first)
        usage = getattr(completion, "usage", None)
        tokens = int(getattr(usage, "total_tokens", 0) or 0)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return Reply(text, top, tokens) if isinstance(text, str) else None


LabelScores = Callable[[Reply], tuple[list[int], list[float], int]]
"""Function from a reply to the catalogue indices that it answers for, their scores (higher is
better), and the number of its names that no label has."""


def scores_of_list(catalogue: Catalogue, task: Task) -> LabelScores:
    """Return a function that reads a list of names; a label at place r scores −ln r.

    Names are looked up as they are, then without the remark behind them, then by a disease id in
    the line. What a model thinks before it answers is not read.
    """
    lookup = LabelLookup(catalogue)

    def find(line: str) -> int | None:
        for name in (line, _REMARK.sub("", line)):
            label = lookup.by_name(name)
            if label is not None:
                return label
        return lookup.by_id(line)

    def read(reply: Reply) -> tuple[list[int], list[float], int]:
        places: dict[int, float] = {}
        unknown = 0
        for place, line in enumerate(parse_list(reply.text, task.header, repeats=True), 1):
            label = find(line)
            if label is None:
                unknown += 1
            else:
                places.setdefault(label, -math.log(place))
        return list(places), list(places.values()), unknown

    return read


def scores_of_options(catalogue: Catalogue) -> LabelScores:
    """Return a function that reads the log-probabilities of the options' letters."""
    letters = {letter: index for index, letter in enumerate(OPTIONS[: len(catalogue)])}

    def read(reply: Reply) -> tuple[list[int], list[float], int]:
        chances: dict[int, float] = {}
        for token, logprob in reply.top_logprobs:
            label = letters.get(token.strip(" \t\n*_'\"().:▁Ġ"))
            if label is not None and math.isfinite(logprob):
                chances[label] = chances.get(label, 0.0) + math.exp(logprob)
        scored = {label: math.log(chance) for label, chance in chances.items() if chance > 0}
        return list(scored), list(scored.values()), 0

    return read


def as_row(case_id: str, key: str, reply: Reply) -> dict[str, Any]:
    """Return a reply as plain JSON, from which `of_row` makes an equal one."""
    return {
        "case_id": case_id,
        "key": key,
        "text": reply.text,
        "top_logprobs": [list(entry) for entry in reply.top_logprobs],
        "tokens": reply.tokens,
    }


def of_row(row: Mapping[str, Any]) -> Reply:
    """Make the reply of a row of `as_row`."""
    top = tuple((str(token), float(logprob)) for token, logprob in row["top_logprobs"])
    return Reply(row["text"], top, row["tokens"])


def label_scores(
    replies: Iterator[tuple[str, Reply]], read: LabelScores
) -> tuple[list[tuple[str, list[int], list[float]]], int]:
    """Return (case id, labels, scores) of each reply, and the number of names that no label has."""
    lists, unknown = [], 0
    for case_id, reply in replies:
        labels, scores, lost = read(reply)
        lists.append((case_id, labels, scores))
        unknown += lost
    return lists, unknown
