"""Language of a note: whether it is certainly not English, in which notes are read.

A language identifier (py3langid, after Lui and Baldwin, ACL 2012) gives the probability of English
among languages that notes are written in. Short notes and lists of Latin names look like many
languages, so that only a very small probability counts. Latin itself is not among the languages.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST_ENGLISH = 0.02
"""Probability of English below which a note is taken for another language."""

NOT_ENGLISH = "not in English: findings are read, denials are not"
"""Words for such notes, in messages and answers."""

_LANGUAGES = (
    "en de fr es it nl pt ca ro sv da no fi hu pl cs sk hr sl sr bg uk ru tr el he ar fa hi vi id"
    " zh ja ko"
)
_MOST_CHARACTERS = 4_000  # of a note; the language does not change so often
_LEAST_WORDS = 3


def is_not_english(note: str) -> bool:
    """Return whether a note is certainly not English.

    A note without letters, and one that is too short to tell, is taken for English.
    """
    text = note[:_MOST_CHARACTERS]
    words = [word for word in text.split() if any(map(str.isalpha, word))]
    # A word or two ("Seizures.") is as likely in languages that share it.
    if not words or (text.isascii() and len(words) < _LEAST_WORDS):
        return False
    text = text.lower() if text.isupper() else text
    probabilities = dict(_identifier().rank(text.encode("utf-8", "ignore").decode()))
    return float(probabilities["en"]) < LEAST_ENGLISH


@lru_cache(maxsize=1)
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_LANGUAGES.split())
    return identifier
