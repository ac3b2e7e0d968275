"""Publications that a phenopacket cites, wherever it cites them."""

from collections.abc import Iterable, Iterator
from typing import Any

from mint_ray.cases.patients.protobuf_json import fold_key
from mint_ray.knowledge.ids import find_publications


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Folded names of fields that hold a reference, at any depth: `metaData.externalReferences`, the
# `evidence` of findings, diseases, measurements and treatments, and what converters add.
_REFERENCES = _words(
    """
    externalreference externalreferences evidence reference references publication publications
    citation citations pmid pmids pubmed pubmedid pubmedids doi dois pmcid pmc
    """
)
_BARE = _words("pmid pmids pubmed pubmedid pubmedids")
_NO_CITATION = frozenset({"resources"})  # of the metadata: ontologies, with their pages


def read_publications_of(packet: Any, around: Iterable[Any], name: str) -> tuple[list[str], bool]:
    """Return the publications of a packet, sorted, and whether they were found beside references.

    Fields of references count first. A packet without any there is searched whole: its id, the
    names of its patient and file ("PMID_123_patient_1") and its remarks often name the publication.

    Args:
        packet: the message; of any type.
        around: messages around it, such as its family's metadata.
        name: name of its file.
    """
    nodes = [packet, *around]
    cited = {p for text, bare in _references(nodes) for p in find_publications(text, bare)}
    if cited:
        return sorted(cited), False
    named = {p for text in (*_texts(nodes), name) for p in find_publications(text)}
    return sorted(named), bool(named)


def _references(nodes: Iterable[Any]) -> Iterator[tuple[str, bool]]:
    """Yield the texts below fields of references, and whether the field's numbers are PubMed's."""
    for key, node in _walk(nodes):
        if key in _REFERENCES:
            yield from ((text, key in _BARE) for text in _texts([node]))


def _texts(nodes: Iterable[Any]) -> Iterator[str]:
    for _, node in _walk(nodes):
        if isinstance(node, str):
            yield node[:10_000]
        elif isinstance(node, int) and not isinstance(node, bool) and abs(node) < 10**10:
            yield str(node)


def _walk(nodes: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield every node with the folded name of its field; each shared object once."""
    stack: list[tuple[str, Any]] = [("", node) for node in nodes]
    visited: set[int] = set()
    while stack:
        key, node = stack.pop()
        if isinstance(node, dict | list):
            if id(node) in visited:
                continue
            visited.add(id(node))
        yield key, node
        if isinstance(node, dict):
            inner = ((fold_key(name), value) for name, value in node.items())
            stack += [(name, value) for name, value in inner if name not in _NO_CITATION]
        elif isinstance(node, list):
            stack += [(key, value) for value in node]
