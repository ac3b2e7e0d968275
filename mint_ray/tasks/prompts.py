"""Prompts and answers of all tasks (MINT, arXiv 2505.05736).

A prompt is a list of chat messages; an answer is a header and a numbered list of quoted names.
Text of a note is untrusted: chat-template tokens in it are broken up here, in the stored messages,
and once more in `encoding`, where the special tokens of the tokenizer are known. The content of
messages is a list of parts where the prompt has an image, as in TRL's vision datasets.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from mint_ray.tasks.task import DISEASE, TASKS, TISSUE, Task

# What the instruction starts with, and what stands between it and the note. `encoding` shortens
# only the note.
_INSTRUCTION = "List EXACTLY "
NOTE_STARTS = tuple(dict.fromkeys(f"\n\n{task.note_title}\n" for task in TASKS.values()))
NOTE_END = "\n\n" + _INSTRUCTION

PromptForm = Literal["instruction_first", "note_first"]
"""Order of instruction and note. What is the same in every prompt stands first, so that it is
computed once for many cases. Students of former releases were trained with the note first."""


_SPECIAL = re.compile(
    r"<\|[^<>|\n]{1,64}\|>"
    r"|</?s>|<(?:bos|eos|pad|unk|mask|image|video|audio)>"
    r"|</?(?:start_of_turn|end_of_turn|start_of_image|think|tool_call|tool_response)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>",
    re.IGNORECASE,
)


class Message(TypedDict):
    """One chat message; `content` is text, or a list of parts where an image is among them."""

    role: str
    content: Any


def build_prompt(
    note: str, k: int, form: PromptForm = "instruction_first", task: Task = DISEASE
) -> list[Message]:
    """Return messages that ask for exactly `k` diseases, genes or own answers from a note.

    See `clean_note` for the changes to the note.
    """
    instruction, cleaned = _INSTRUCTION + _instruction(k, task), clean_note(note)
    in_order = {
        "instruction_first": f"{instruction}\n\n{task.note_title}\n{cleaned}",
        "note_first": f"{cleaned}\n\n{instruction}",
    }
    return [
        {"role": "system", "content": task.system},
        {"role": "user", "content": in_order[form]},
    ]


def build_image_prompt(names: Sequence[str], k: int) -> list[Message]:
    """Return messages that show one image and ask for exactly `k` of the tissues `names`.

    Content is a list of parts. The part `{"type": "image"}` stands for the image; the image itself
    is stored beside the messages.
    """
    listed = ", ".join(names)
    question = (
        f"Which of these tissues could the nuclei come from: {listed}? List EXACTLY {k}, most "
        f"likely first, as a numbered list under the header {TISSUE.header} with lines such as "
        "1. 'Tissue'. No explanations."
    )
    return [
        {"role": "system", "content": [_text_part(TISSUE.system)]},
        {"role": "user", "content": [{"type": "image", "text": None}, _text_part(question)]},
    ]


def _text_part(text: str) -> dict[str, str | None]:
    return {"type": "text", "text": text}


def clean_note(note: str) -> str:
    """Return the note without text that could end the user's turn or cannot be encoded.

    Chat-template tokens of the common model families are broken up, lone surrogates become `?`,
    and NUL becomes a space.
    """
    encodable = note.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")
    return _SPECIAL.sub(lambda match: break_token(match.group()), encodable).strip()


def break_token(token: str) -> str:
    """Insert a space after the first character, so that a special token becomes plain text."""
    return f"{token[0]} {token[1:]}"


def split_note(content: str) -> tuple[str, str, str] | None:
    """Split a user message of `build_prompt` into the text before the note, the note, and the rest.

    A note may contain the separators: with the instruction first the first one counts, else the
    last one.

    Returns:
        None where the message has no separator, that is, `build_prompt` did not build it.
    """
    if content.startswith(_INSTRUCTION):
        # The note of one task may hold the separator of another, which then comes later.
        found = [(content.find(start), start) for start in NOTE_STARTS if start in content]
        if found:
            at, separator = min(found)
            end = at + len(separator)
            return content[:end], content[end:], ""
    note, separator, tail = content.rpartition(NOTE_END)
    return ("", note, separator + tail) if separator else None


def answer_text(names: Sequence[str], task: Task = DISEASE) -> str:
    """Return the assistant's answer: the header and the numbered, quoted names, best first.

    >>> answer_text(["Marfan syndrome"])
    "POTENTIAL_DISEASES:\\n1. 'Marfan syndrome'"
    """
    lines = [task.header, *(f"{rank}. '{name}'" for rank, name in enumerate(names, start=1))]
    return "\n".join(lines)


def answer_message(names: Sequence[str], task: Task = DISEASE) -> list[Message]:
    """Return `answer_text` as the assistant's turn, the form of `chosen` and `rejected`.

    The content is a list of parts for a task with images, as in the prompt.
    """
    text = answer_text(names, task)
    content = text if task.input_modality == "note" else [_text_part(text)]
    return [{"role": "assistant", "content": content}]


def _instruction(k: int, task: Task) -> str:
    return (
        f"{k} {task.items}, most likely first, as a numbered list under the header "
        f"{task.header} with lines such as 1. '{task.item}'. No explanations."
    )
