"""Names and label ids of tissues, the same for every spelling of a source."""

import re

from mint_ray.cases.demographics import UNSTATED

PREFIX = "TISSUE"
"""Namespace of the label ids."""

_NAMES = {"headneck": "Head and neck", "head_neck": "Head and neck"}
_JOINED = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")  # within "BileDuct"
_SIGN = re.compile(r"(?<=[^\W_])\s*([+−-])\s*$")  # of "HER2+"
_SIGNS = {"+": "positive", "-": "negative", "−": "negative"}


def tissue_label(text: str) -> tuple[str, str] | None:
    """Return label id and tidy name: `Bile-duct` gives (`TISSUE:bile_duct`, `Bile duct`).

    The id does not depend on capitals, punctuation and joined words (`BileDuct`). A plus or minus
    at the end counts as a word: `HER2+` and `HER2-` are two labels. Return None if the text has
    neither a letter nor a digit, or says that nothing is known.
    """
    if text.strip().lower() in UNSTATED:
        return None
    slug = _slug(text)
    if not slug:
        return None
    signed = _SIGN.sub(lambda sign: f" {_SIGNS[sign[1]]}", _JOINED.sub(" ", text))
    spaced = "".join(" " if c in "_-" or not c.isprintable() else c for c in signed)
    name = _NAMES.get(slug) or " ".join(spaced.split())
    return f"{PREFIX}:{_slug(name)}", name[0].upper() + name[1:]


def _slug(text: str) -> str:
    text = _SIGN.sub(lambda sign: f" {_SIGNS[sign[1]]}", _JOINED.sub(" ", text)).casefold()
    words = "".join(c if c.isalnum() else " " for c in text).split()
    return "_".join(words)
