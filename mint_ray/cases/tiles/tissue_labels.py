"""Names and ids of tissues, however a source spells them."""

PREFIX = "TISSUE"
"""Namespace of the label ids."""

_NAMES = {"headneck": "Head and neck", "head_neck": "Head and neck"}


def tissue_label(text: str) -> tuple[str, str] | None:
    """Label id and tidy name: `Bile-duct` gives (`TISSUE:bile_duct`, `Bile duct`).

    Capitals and punctuation make no difference to the id. None where the text has neither a
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
