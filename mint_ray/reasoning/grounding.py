"""Grounding of answered names: which disease or gene of a catalogue a line means.

Names match by exact spelling, or by the same words in another order. Numbers have to be equal and
in the same order, Roman or Arabic: CMT1A is not CMT1B. There is no match by similarity.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.grounding import Grounder
from mint_ray.knowledge.ids import read_disease_ids
from mint_ray.knowledge.names import normalise
from mint_ray.retrieval.genes import GeneLookup

_ROMAN = {
    roman: str(number)
    for number, roman in enumerate(
        ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii"), start=1
    )
}
_FILLER = frozenset(["a", "an", "and", "of", "the", "type"])
_ABBREVIATION = re.compile(r"(?=.*[A-Z])[A-Z0-9][A-Za-z]?[A-Z0-9./-]{1,8}")
_BRACKETS = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_REMARK = re.compile(r"\s+[-–—]\s+.*|:\s.*", re.DOTALL)


class DiseaseNames:
    """Lookup of the disease that an answered line means.

    An abbreviation alone means no disease, although titles of OMIM list it behind a semicolon.

    Args:
        catalogue: of diseases, or of whatever else a list may hold.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._exact = Grounder(Catalogue(map(_without_abbreviations, catalogue.labels)))
        loose: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for label in map(_without_abbreviations, catalogue.labels):
            for name in (label.name, *label.synonyms):
                loose[_words(name)].add(label.label_id)
        self._loose = {words: ids.pop() for words, ids in loose.items() if len(ids) == 1}

    def find(self, line: str) -> str | None:
        """Return the `label_id` that a line means, or None.

        The line is read as it is, then without brackets and remarks, then by an id in it.
        """
        for text in _shorter(line):
            known = self._exact.ground(text) or self._loose.get(_words(text))
            if known is not None:
                return known
        indices = (self._catalogue.index_of(i) for i in (line.strip(), *read_disease_ids(line)))
        return next((self._catalogue.ids[i] for i in indices if i is not None), None)


class GeneNames:
    """Lookup of the gene that an answered line means, by symbols and ids.

    Args:
        genes: a catalogue of `retrieval.genes.gene_catalogue`.
    """

    def __init__(self, genes: Catalogue) -> None:
        self._lookup = GeneLookup(genes)

    def find(self, line: str) -> str | None:
        """Return the `label_id` that a line means, or None.

        The line is read as it is, then without brackets, remarks and the word "gene", then what
        stands in brackets: "Fibrillin 1 (FBN1)".
        """
        texts = [*_shorter(line), *re.findall(r"[(\[]([^()\[\]]+)[)\]]", line)]
        spelt = (re.sub(r"\bgene\b", "", text, flags=re.IGNORECASE) for text in texts)
        return next(filter(None, map(self._lookup.find, spelt)), None)


def names_for(task: str, catalogue: Catalogue) -> DiseaseNames | GeneNames:
    """Return the lookup of a task's answers: by symbols for `gene`, else by names."""
    return GeneNames(catalogue) if task == "gene" else DiseaseNames(catalogue)


def _shorter(line: str) -> Iterator[str]:
    yield line
    without_brackets = _BRACKETS.sub("", line)
    yield without_brackets
    yield _REMARK.sub("", line)
    yield _REMARK.sub("", without_brackets)


def _without_abbreviations(label: Label) -> Label:
    names = tuple(name for name in label.synonyms if not _ABBREVIATION.fullmatch(name.strip()))
    return replace(label, synonyms=names)


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name, sorted, then its numbers in their order."""
    spelt = normalise(name).replace("x linked", "xlinked")  # no ten
    tokens = [_ROMAN.get(word, word) for word in spelt.split() if word not in _FILLER]
    numbers = [token for token in tokens if any(c.isdigit() for c in token)]
    words = sorted(token for token in tokens if token not in numbers)
    # A name of numbers alone, or of nothing, stays as it is.
    return (*words, "#", *numbers) if words else (normalise(name),)
