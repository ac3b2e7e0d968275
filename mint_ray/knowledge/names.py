"""Names."""

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# Marks that are written or left out at will inside a word: "Bart's", "Bart’s", "Barts".
_APOSTROPHES = dict.fromkeys(map(ord, "'`´‘’ʼ"))


# Letters that no Unicode normalisation takes apart.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})


def normalise(text: str) -> str:
    """One spelling for names that differ in case, accents, width, punctuation or spacing only.

    Letters and digits of any script remain, in words joined by one space. Applying it twice
    changes nothing.
    """
    plain = text.translate(_APOSTROPHES)
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", plain).casefold())
    kept = "".join(" " if not c.isalnum() else c for c in plain if not unicodedata.combining(c))
    return " ".join(kept.translate(_LETTERS).translate(_APOSTROPHES).split())
