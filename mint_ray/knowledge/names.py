"""Normalised spelling of names, and the stem that numbered types of a disease share."""

import re
import unicodedata

# Optional marks inside a word: "Bart's", "Bart’s", "Barts".
_APOSTROPHES = dict.fromkeys(map(ord, "'`´‘’ʼ"))


# Letters that Unicode normalisation does not decompose.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})


# Characters that are not shown, and may stand within a word: soft hyphens, zero-width blanks.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
WITHOUT_INVISIBLE = dict.fromkeys(map(ord, INVISIBLE))

# Roots that British spelling writes otherwise, in small letters without accents.
_BRITISH = tuple(
    (re.compile(written), american)
    for written, american in (
        (r"aem", "em"),  # haem-, anaemia, ischaemic
        (r"paed(?!o?gog)", "ped"),
        (r"(?<![a-z])f(?:ae|oe)(?=c|t)", "fe"),  # faecal, foetal
        (r"(?<![a-z])oe(?=d|s)", "e"),  # oedema, oesophagus, oestrogen
        (r"oedem", "edem"),
        (r"aesth", "esth"),
        (r"aetio", "etio"),
        (r"aec(?=[ou])", "ec"),  # caecum, gynaecomastia
        (r"rrhoe", "rrhe"),
        (r"pnoe", "pne"),
        (r"coeli", "celi"),
        (r"homoeo", "homeo"),
        (r"naev", "nev"),
        (r"leuco", "leuko"),
        (r"sulph", "sulf"),
        (r"(?<=tum|col|avi)our", "or"),  # tumour, colour, behaviour
        (r"fibre(?=s?$)", "fiber"),
        (r"(?<=[a-z]{3})ys(?=ed$|ing$)", "yz"),  # paralysed
    )
)


_MAYBE_BRITISH = re.compile(r"[ao]e|leuco|sulph|our|fibre|ys")


def american(word: str) -> str:
    """Return a word of `normalise` in American spelling.

    >>> [american(word) for word in ("haematuria", "oedema", "diarrhoea", "tumour", "toes")]
    ['hematuria', 'edema', 'diarrhea', 'tumor', 'toes']
    """
    if _MAYBE_BRITISH.search(word):
        for pattern, other in _BRITISH:
            word = pattern.sub(other, word)
    return word


def _spelling(text: str) -> str:
    # Accents go first, since sorting a run of them takes time by the square of its length; all but
    # the iota below a letter, which is a letter of its own in small letters.
    plain = "".join(c for c in text if c == "\u0345" or not unicodedata.combining(c))
    plain = plain.translate(WITHOUT_INVISIBLE).translate(_APOSTROPHES)
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
