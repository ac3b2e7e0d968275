"""Phenopackets of a file's content: JSON, JSON lines or YAML; single, lists, families, cohorts."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from mint_ray.cases.patients.phenopacket_files import MAX_MEMBER_BYTES, without_packing
from mint_ray.cases.patients.protobuf_json import (
    clean_text,
    get_field,
    get_list,
    get_object,
    get_scalar,
)
from mint_ray.common.file_kinds import HEAD_BYTES, kind_of_content

DocumentReason = Literal[
    "unreadable",  # the file or archive member cannot be read, or is damaged
    "too_large",  # more than `MAX_MEMBER_BYTES`
    "not_json",  # not JSON, or nested too deeply to be read
    "not_yaml",  # the file's name says YAML, and it is not
    "found_table",  # a CSV, tab-separated or parquet table
    "found_text",  # plain text, such as a README
    "found_web_page",  # HTML or XML
    "found_archive",  # an archive within a folder or an archive
    "found_document",  # a PDF or an Excel workbook
    "found_image",
    "found_binary",  # binary data of another kind
]
"""Reason why a file holds no phenopackets."""

_BLANKS = re.compile(r"[ \t\r\n]*")
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson", ".phenopacket")
_YAML_ENDINGS = (".yaml", ".yml")
_FOUND: dict[str, DocumentReason] = {
    "csv": "found_table",
    "tsv": "found_table",
    "parquet": "found_table",
    "arrow": "found_table",
    "text": "found_text",
    "html": "found_web_page",
    "xml": "found_web_page",
    "zip": "found_archive",
    "tar": "found_archive",
    "bzip2": "found_archive",
    "xz": "found_archive",
    "gzip": "found_archive",
    "pdf": "found_document",
    "excel": "found_document",
    "image": "found_image",
}


MAX_NESTING = 3
"""Most lists and wrappers around one phenopacket."""


@dataclass(frozen=True)
class Packet:
    """One phenopacket that is read from JSON or YAML, with what its file says around it.

    Attributes:
        content: the message; of any type, since it comes from outside.
        name: the file, with a line or position where the file holds several.
        group: id of the family that the patient belongs to; empty if there is none.
        around: messages whose publications are the packet's too: those of a family or cohort.
        counted: what was done to read the file: `other_encodings` for text that is not UTF-8, and
            is read as Windows-1252. Ids are the same in both.
    """

    content: Any
    name: str
    group: str = ""
    around: tuple[Any, ...] = field(default=())
    counted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """A file, or a line of it, that holds no phenopacket."""

    name: str
    reason: DocumentReason


def read_packets(raw: bytes | None, member: str) -> Iterator[Packet | Unread]:
    """Yield the phenopackets of a file, or why there is none.

    A list gives its items. A family gives its proband and its relatives, in one group. A cohort
    gives its members. Whatever the bytes are, nothing is raised.

    Args:
        raw: content of the file; None if it could not be read.
        member: name of the file.
    """
    name = clean_text(member)
    if raw is None:
        yield Unread(name, "unreadable")
    elif len(raw) > MAX_MEMBER_BYTES:
        yield Unread(name, "too_large")
    else:
        for document in _documents(raw, name):
            yield from [document] if isinstance(document, Unread) else expand_packet(document)


def expand_packet(packet: Packet, depth: int = 0) -> Iterator[Packet]:
    """Yield the packets of a list, family, cohort or wrapper; another packet as it is.

    Args:
        packet: the message.
        depth: lists and wrappers around it; of more than `MAX_NESTING` none is opened.
    """
    content = packet.content
    kind = collection_kind(content)
    if depth > MAX_NESTING or content == []:
        yield packet
    elif isinstance(content, list):
        for number, item in enumerate(content, start=1):
            inner = replace(packet, content=item, name=f"{packet.name}[{number}]")
            yield from expand_packet(inner, depth + 1)
    elif kind == "wrapper":
        inside = get_field(content, "phenopacket") or get_field(content, "phenopackets")
        yield from expand_packet(replace(packet, content=inside), depth + 1)
    elif kind is not None:
        yield from _members(packet, kind)
    else:
        yield packet


def collection_kind(content: object) -> Literal["family", "cohort", "wrapper"] | None:
    """Return what a message holds phenopackets as; None if it is not such a message."""
    if not isinstance(content, dict) or get_list(content, "phenotypic_features"):
        return None
    if get_object(content, "proband"):
        return "family"
    if any(isinstance(item, dict) for item in get_list(content, "members")):
        return "cohort"
    if get_object(content, "phenopacket") or get_list(content, "phenopackets"):
        return "wrapper"
    return None


def _members(packet: Packet, kind: Literal["family", "cohort"]) -> Iterator[Packet]:
    """Yield a family's proband and relatives, or a cohort's members, with its metadata."""
    content = packet.content
    meta = get_object(content, "meta_data")
    shared = {key: value for key, value in content.items() if key not in ("proband", "members")}
    shared.pop("relatives", None)
    own_id = get_scalar(content, "id")
    members = get_list(content, "members")
    group = packet.group
    if kind == "family":
        proband = get_object(content, "proband")
        members = [proband, *get_list(content, "relatives")]
        group = own_id or get_scalar(proband, "id") or packet.name
    for number, member in enumerate(members, start=1):
        if isinstance(member, dict):
            member = dict(member)
            if meta and not get_object(member, "meta_data"):
                member["metaData"] = meta
            if kind == "family" and number == 1 and not get_scalar(member, "id") and own_id:
                member["id"] = own_id
        around = (*packet.around, shared)
        yield Packet(member, f"{packet.name}[{number}]", group, around, packet.counted)


def _documents(raw: bytes, name: str) -> Iterator[Packet | Unread]:
    lowered = without_packing(name)
    if lowered.endswith(_YAML_ENDINGS):
        yield from _yaml_documents(raw, name)
        return
    kind = kind_of_content(raw[:HEAD_BYTES], lowered)
    if kind == "yaml" and not lowered.endswith(_JSON_ENDINGS):
        yield from _yaml_documents(raw, name)
    elif kind in _FOUND and not lowered.endswith(_JSON_ENDINGS):
        yield Unread(name, _FOUND[kind])
    elif kind in ("json", "empty") or lowered.endswith(_JSON_ENDINGS):
        yield from _json_documents(raw, name)
    else:
        yield Unread(name, "found_binary")


def _json_documents(raw: bytes, name: str) -> Iterator[Packet | Unread]:
    """Yield the values of JSON: one, one a line, or one behind another."""
    text, counted = _decoded(raw)
    whole = _values(text)
    if whole is not None and len(whole) == 1:
        yield Packet(whole[0], name, counted=counted)
        return
    lines = [(n, _parsed(line)) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    damaged = sum(parsed is None for _, parsed in lines)
    if whole and damaged:  # what stands behind one another is not one a line
        lines = list(enumerate(whole, start=1))
    elif len(lines) < 2 or damaged == len(lines) or not (lines[0][1] or _is_named_lines(name)):
        yield Unread(name, "not_json")
        return
    for number, parsed in lines:
        place = f"{name}:{number}"
        if parsed is None:
            yield Unread(place, "not_json")
        else:
            yield Packet(parsed, place, counted=counted)


def _is_named_lines(name: str) -> bool:
    return without_packing(name).endswith((".jsonl", ".ndjson"))


def _decoded(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Return a file's text, and what `Packet.counted` says of its encoding."""
    try:
        text = raw.decode(json.detect_encoding(raw), "surrogatepass")
        return text.removeprefix("\ufeff"), ()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace"), ("other_encodings",)


def _values(text: str) -> list[Any] | None:
    """Return the JSON values that stand behind one another; None if anything else stands there."""
    decoder, values, at = json.JSONDecoder(), [], _next_value(text, 0)
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        values.append(value)
        at = _next_value(text, at)
    return values


def _next_value(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _yaml_documents(raw: bytes, name: str) -> Iterator[Packet | Unread]:
    """Yield the documents of YAML, whose scalars stay text: ids keep their leading zeros."""
    text, counted = _decoded(raw)
    try:
        documents = list(yaml.load_all(text, Loader=yaml.BaseLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        yield Unread(name, "not_yaml")
        return
    if not documents:
        yield Unread(name, "not_yaml")
    for number, document in enumerate(documents, start=1):
        place = name if len(documents) == 1 else f"{name}[{number}]"
        yield Packet(document, place, counted=counted)
