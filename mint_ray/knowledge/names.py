"""Normalised spelling of names."""

import unicodedata

# Optional marks inside a word: "Bart's", "Bart’s", "Barts".
_APOSTROPHES = dict.fromkeys(map(ord, "'`´‘’ʼ"))


# Letters that Unicode normalisation does not decompose.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})


def normalise(text: str) -> str:
    """Return one spelling for names that differ only in case, accents, width or punctuation.

    Letters and digits of any script remain, in words joined by one space, whatever the spacing.
    Applying it twice changes nothing.
    """
    plain = text.translate(_APOSTROPHES)
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", plain).casefold())
    kept = "".join(" " if not c.isalnum() else c for c in plain if not unicodedata.combining(c))
    return " ".join(kept.translate(_LETTERS).translate(_APOSTROPHES).split())
