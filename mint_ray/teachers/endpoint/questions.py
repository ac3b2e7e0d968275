"""Questions about cases: chat messages that show parts of a case and ask for labels."""

import base64
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters
from typing import Any

import pyarrow.parquet as pq

from mint_ray.common.digests import digest_of
from mint_ray.config.teacher import EndpointConfig
from mint_ray.errors import TeacherError
from mint_ray.images.decode import is_portable, open_rgb, open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.tasks.prompts import Message, build_image_prompt, build_prompt, clean_note
from mint_ray.tasks.task import Task

AT_ONCE = 64
"""Cases that are read together: bounds the memory of images."""

OPTIONS = ascii_letters.upper()[:26] + ascii_letters[:26]
"""Letters of the options of a multiple-choice question; each is one token of usual vocabularies."""

_FORMATS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg"}


@dataclass(frozen=True)
class Question:
    """One request about a case.

    Attributes:
        case_id: of the case.
        body: fields of the request, such as `model` and `messages`.
        key: hash of the body.
    """

    case_id: str
    body: Mapping[str, Any]
    key: str


class QuestionMaker:
    """Maker of the questions of a run.

    Args:
        config: the endpoint and what it is shown.
        task: sets the wording.
        catalogue: labels of a multiple-choice question, and tissues to choose from.

    Raises:
        TeacherError: the catalogue has more labels than a multiple-choice question has options.
    """

    def __init__(self, config: EndpointConfig, task: Task, catalogue: Catalogue) -> None:
        if config.answer == "logprobs" and len(catalogue) > len(OPTIONS):
            raise TeacherError(
                f"teacher.endpoint.answer=logprobs: expected a catalogue of at most {len(OPTIONS)} "
                f"labels, found {len(catalogue)}; use answer=list"
            )
        self._config, self._task, self._catalogue = config, task, catalogue
        self._reads = config.reads or (task.input_modality,)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a case that are read."""
        of_terms = ("terms", "excluded_terms", "sex", "age") if "terms" in self._reads else ()
        return ("case_id", *(name for name in self._reads if name != "terms"), *of_terms)

    def ask(self, case: Mapping[str, Any]) -> Question | None:
        """Return the question about a case; None if it has none of the parts that are shown."""
        image = self._image(case["image"]) if "image" in self._reads else None
        parts = [self._words(part, case) for part in self._reads if part != "image"]
        shown = "\n\n".join(part for part in parts if part)
        if not shown and image is None:
            return None
        system, user = self._messages(shown)
        content: Any = user if image is None else [_image_part(image), _text_part(user)]
        body = {
            "model": self._config.model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": content},
            ],
            **self._options(),
        }
        body = {name: value for name, value in body.items() if value is not None}
        key = digest_of(json.dumps(body, sort_keys=True))[:16]
        return Question(case["case_id"], body, key)

    def _options(self) -> dict[str, Any]:
        config = self._config
        options: dict[str, Any] = {
            "temperature": config.temperature,
            "max_tokens": config.answer_tokens,
        }
        if config.answer == "logprobs":
            options |= {"max_tokens": 1, "logprobs": True, "top_logprobs": config.top_logprobs}
        return options | config.request

    def _messages(self, shown: str) -> tuple[str, str]:
        """Return the words of the system and of the user."""
        names = self._catalogue.names
        if self._config.answer == "logprobs":
            listed = "\n".join(f"{o}) {name}" for o, name in zip(OPTIONS, names, strict=False))
            asked = (
                f"Which of these is the most likely answer?\n{listed}\n"
                "Answer with the letter of one option alone."
            )
        elif self._task.input_modality == "image":
            asked = _text_of(build_image_prompt(names, min(self._config.names, len(names)))[-1])
        else:
            prompt = build_prompt(shown, self._config.names, task=self._task)
            return self._task.system, _text_of(prompt[-1]).strip()
        words = clean_note(shown)
        return self._task.system, f"{words}\n\n{asked}" if words else asked

    def _words(self, part: str, case: Mapping[str, Any]) -> str:
        if part == "terms":
            return _findings(case, load_ontology(self._catalogue.release))
        return (case[part] or "").strip()

    def _image(self, encoded: bytes | None) -> bytes | None:
        """Return an image that every server reads; None if it shows nothing or is unreadable."""
        if not isinstance(encoded, bytes):
            return None
        image = open_tile(encoded) if self._task.input_modality == "image" else open_rgb(encoded)
        if isinstance(image, str):
            return None
        if is_portable(encoded) and _format_of(encoded):
            return encoded
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()


def read_questions(file: Path, maker: QuestionMaker) -> Iterator[tuple[str, Question | None]]:
    """Yield the id of every case of a case table with its question, a few cases in memory."""
    with pq.ParquetFile(file, pre_buffer=False) as table:
        for batch in table.iter_batches(AT_ONCE, columns=list(maker.columns)):
            for case in batch.to_pylist():
                yield case["case_id"], maker.ask(case)


def _findings(case: Mapping[str, Any], ontology: Ontology) -> str:
    """Return sex, age and findings in words, one kind a line; empty without a known finding."""
    lines = []
    for column, title in (("terms", "Findings"), ("excluded_terms", "Excluded")):
        names = [ontology.name(term) for term in case[column] or () if term in ontology.index]
        lines += [f"{title}: {', '.join(names)}."] if names else []
    facts = [("Sex", case["sex"]), ("Age (ISO 8601)", case["age"])]
    known = [f"{title}: {fact}." for title, fact in facts if fact and fact != "unknown"]
    return "\n".join([*known, *lines]) if lines else ""


def _text_of(message: Message) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] or "" for part in content if part["type"] == "text")


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image_part(encoded: bytes) -> dict[str, Any]:
    data = base64.b64encode(encoded).decode("ascii")
    url = f"data:image/{_format_of(encoded) or 'png'};base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _format_of(encoded: bytes) -> str | None:
    return next((name for magic, name in _FORMATS.items() if encoded.startswith(magic)), None)
