"""Lookup of the catalogue's labels by the ids and names that other programs write."""

from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.grounding import Grounder
from mint_ray.knowledge.ids import read_disease_ids


class LabelLookup:
    """Lookup of catalogue indices by ids in any usual spelling, and by names and synonyms."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue, self._grounder = catalogue, Grounder(catalogue)

    def by_id(self, text: str) -> int | None:
        """Return the label of the first known id in a text, merged ids included, or None."""
        known = (self._catalogue.index_of(i) for i in (text, *read_disease_ids(text)))
        return next((index for index in known if index is not None), None)

    def by_name(self, text: str) -> int | None:
        """Return the label with this name, or the only one with this synonym, or None."""
        return self._catalogue.index_of(self._grounder.ground(text) or "")

    def by_any(self, text: str) -> int | None:
        """Return the label with this id, name or synonym, or None."""
        index = self.by_id(text)
        return self.by_name(text) if index is None else index
