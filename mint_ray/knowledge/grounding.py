"""Grounding of free-text disease names in the labels of a catalogue."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.names import normalise


class Grounder:
    """Lookup of the label that a name means, by exact normalised spelling."""

    def __init__(self, catalogue: "Catalogue") -> None:
        names: dict[str, str | None] = {}
        synonyms: dict[str, str | None] = {}
        for label in catalogue.labels:
            _enter(names, label.name, label.label_id)
            for synonym in label.synonyms:
                _enter(synonyms, synonym, label.label_id)
        # A name outranks the same string as another label's synonym.
        self._labels: dict[str, str | None] = synonyms | names
        self._labels.pop("", None)

    def ground(self, text: str) -> str | None:
        """Return the `label_id` of the label with this name, else of the only one with the synonym.

        Return None if there is no match, or if several labels share the synonym.
        """
        return self._labels.get(normalise(text))


def _enter(table: dict[str, str | None], text: str, label_id: str) -> None:
    key = normalise(text)
    table[key] = label_id if table.get(key, label_id) == label_id else None
