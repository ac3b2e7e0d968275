"""Names and label ids of tissues, the same for every spelling of a source."""

PREFIX = "TISSUE"
"""Namespace of the label ids."""

_NAMES = {"headneck": "Head and neck", "head_neck": "Head and neck"}


def tissue_label(text: str) -> tuple[str, str] | None:
    """Return label id and tidy name: `Bile-duct` gives (`TISSUE:bile_duct`, `Bile duct`).

    The id does not depend on capitals and punctuation. Return None if the text has neither a
    letter nor a digit.
    """
    slug = _slug(text)
    if not slug:
        return None
    spaced = "".join(" " if c in "_-" or not c.isprintable() else c for c in text)
    name = _NAMES.get(slug) or " ".join(spaced.split())
    return f"{PREFIX}:{_slug(name)}", name[0].upper() + name[1:]


def _slug(text: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    return "_".join(words)
