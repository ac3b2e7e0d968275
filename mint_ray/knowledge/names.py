"""Normalised spelling of names, and the stem that numbered types of a disease share."""

import re
import unicodedata

# Optional marks inside a word: "Bart's", "Bart’s", "Barts".
_APOSTROPHES = dict.fromkeys(map(ord, "'`´‘’ʼ"))


# Letters that Unicode normalisation does not decompose.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})


def _spelling(text: str) -> str:
    plain = text.translate(_APOSTROPHES)
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", plain).casefold())
    kept = "".join(" " if not c.isalnum() else c for c in plain if not unicodedata.combining(c))
    return kept.translate(_LETTERS).translate(_APOSTROPHES)


# Most names are ASCII, whose characters stay apart: a table of them is ten times as fast.
_ASCII = {code: _spelling(chr(code)) for code in range(128)}


def normalise(text: str) -> str:
    """Return one spelling for names that differ only in case, accents, width or punctuation.

    Letters and digits of any script remain, in words joined by one space, whatever the spacing.
    Applying it twice changes nothing.
    """
    return " ".join((text.translate(_ASCII) if text.isascii() else _spelling(text)).split())


# "12", "4c", "a", "x1", "iii", "iiia": last words by which the types of a disease are told apart.
_MARK = re.compile(r"\d+[a-z]{0,2}|[a-z]\d*|[ivx]+[a-z]?")
_TYPE_WORDS = frozenset({"type", "group", "form", "subtype"})


def name_stem(name: str) -> str:
    """Return the normalised words of a name before its trailing numbers and letters.

    A name of such words alone is its own stem.

    >>> name_stem("Noonan syndrome 1"), name_stem("Usher syndrome, type IIa"), name_stem("X")
    ('noonan syndrome', 'usher syndrome', 'x')
    """
    words = normalise(name).split()
    end = len(words)
    while end and (_MARK.fullmatch(words[end - 1]) or words[end - 1] in _TYPE_WORDS):
        end -= 1
    return " ".join(words[:end] or words)
