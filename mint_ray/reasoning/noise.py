"""Conditions of a note: clean, noisy, or the terms instead of the note.

A noisy note is one like those of hospitals, which are long and repeat themselves: the same
findings stand in it, once at least, among history of no relevance, sentences copied forward,
abbreviations, and small complaints of other body systems. All of what is added is invented here.
"""

import random
import re
from collections.abc import Collection, Iterable, Sequence

from mint_ray.knowledge.ontology import PHENOTYPE_ROOT, Ontology

NOISY_WORDS = 1600
"""Length of a noisy note: the mean of the paper's hospital notes (arXiv 2503.12286)."""

_ABBREVIATIONS = (
    ("history of", "h/o"),
    ("complains of", "c/o"),
    ("diagnosed with", "dx'd with"),
    ("without", "w/o"),
    ("with", "w/"),
    ("patient", "pt"),
    ("years", "yrs"),
    ("year-old", "yo"),
    ("months", "mos"),
    ("examination", "exam"),
    ("bilateral", "b/l"),
    ("because", "bc"),
    ("within normal limits", "WNL"),
    ("shortness of breath", "SOB"),
    ("follow-up", "f/u"),
    ("approximately", "approx."),
)
_HISTORY = (
    "Insurance card and contact details were checked at the desk; the next of kin is unchanged.",
    "The family moved to a new flat last spring and asks for records from the former clinic.",
    "Travel: two weeks at the seaside in August, no illness during the stay.",
    "Immunisations are up to date according to the booklet; the last one was given at school.",
    "There are two cats and an aquarium at home.",
    "Diet is mixed; breakfast is often left out on weekdays.",
    "A fractured toe healed in a splint some years ago; no operation.",
    "The appendix was taken out in another hospital; the scar has healed well.",
    "No known allergy to medicines. Pollen in May is a nuisance.",
    "Sleep is sufficient, with a late bedtime at the weekend.",
    "Occupational history: an office with artificial light, no contact with solvents.",
    "A grandparent has high blood pressure; an uncle wears glasses for reading.",
    "The waiting time was long today, for which the clinic has apologised.",
    "Transport to the appointment was by bus; a parking permit was asked for.",
    "Advance directive discussed; a leaflet was handed out.",
    "Dental check in autumn, one filling renewed.",
    "Screen time is about two hours a day; outdoor sports once a week.",
    "The previous letter was addressed to the wrong practice and has been sent again.",
)
_COMPLAINTS = {
    "HP:0000478": "Eyes itched for some days in spring and settled with lubricating drops.",
    "HP:0000598": "One ear was blocked by wax, which was rinsed out without trouble.",
    "HP:0001626": "Pulse and blood pressure were taken twice, since the first cuff was too small.",
    "HP:0002086": "A cold with cough ran through the household in winter and has passed.",
    "HP:0025031": "A stomach upset after a meal out lasted for a day.",
    "HP:0001574": "A mosquito bite on the forearm was scratched and has dried.",
    "HP:0000119": "Urine dipstick was repeated because the first sample was spilt; it was clear.",
    "HP:0000707": "A headache after a long drive went away with rest.",
    "HP:0033127": "A sprained ankle from sports was strapped and carries weight again.",
    "HP:0002715": "A sore throat was treated at home with tea and lozenges.",
    "HP:0000818": "Thirst on hot days is met by water; no change over the year.",
}
"""A passing complaint of each body system, by the HPO term of the system."""


def systems_of(terms: Iterable[str], ontology: Ontology) -> frozenset[str]:
    """Return the body systems that findings belong to, as HPO terms below the root."""
    roots = set(ontology.children(PHENOTYPE_ROOT))
    known = (term for term in terms if term in ontology.index)
    return frozenset(root for term in known for root in ontology.ancestors(term) & roots)


def noisy_note(
    note: str, seed: int, own_systems: Collection[str] = (), words: int = NOISY_WORDS
) -> str:
    """Return a long note in which every sentence of the given one stands.

    Args:
        note: clean note.
        seed: the same seed and note give the same text.
        own_systems: of `systems_of`; complaints that are added belong to other systems.
        words: length that is not exceeded, unless the note itself is longer: then only
            abbreviations are made.
    """
    if not note.strip():
        return ""
    rng = random.Random(f"{seed}:{note}")
    clean = re.split(r"\n\s*\n", note.strip())
    paragraphs = [_abbreviate(paragraph, rng) for paragraph in clean]
    left = words - sum(len(paragraph.split()) for paragraph in paragraphs)
    added: list[str] = []
    for text in _additions(paragraphs, own_systems, rng):
        if len(text.split()) > left:
            break
        added.append(text)
        left -= len(text.split())
    # The order of the note is kept; what is added falls anywhere between.
    places = sorted(rng.randrange(len(paragraphs) + 1) for _ in added)
    for place, text in reversed(list(zip(places, added, strict=True))):
        paragraphs.insert(place, text)
    return "\n\n".join(paragraphs)


def terms_note(present: Sequence[str], excluded: Sequence[str], ontology: Ontology) -> str:
    """Return the names of findings in the place of a note; empty without a known finding.

    Args:
        present: HP ids of findings.
        excluded: HP ids of findings that are absent.
        ontology: gives the names; ids that it does not know are left out.
    """
    lines = []
    for title, terms in (("Findings", present), ("Absent", excluded)):
        names = [ontology.name(term) for term in terms if term in ontology.index]
        lines += [f"{title}: {', '.join(names)}."] if names else []
    return "\n".join(lines)


def _additions(
    paragraphs: Sequence[str], own_systems: Collection[str], rng: random.Random
) -> Iterable[str]:
    """Yield without end: history and complaints, each once a visit, and copies of the note."""
    sentences = [
        s for paragraph in paragraphs for s in re.split(r"(?<=[.!?])\s+", paragraph) if s.strip()
    ]
    others = [text for system, text in _COMPLAINTS.items() if system not in own_systems]
    visit = 0
    while True:
        visit += 1
        told = [*_HISTORY, *others]
        rng.shuffle(told)
        for start in range(0, len(told), 3):
            yield f"Visit {visit}. " + " ".join(told[start : start + 3])
            if sentences:
                first = rng.randrange(len(sentences))
                yield "Copied forward: " + " ".join(sentences[first : first + 2])


def _abbreviate(text: str, rng: random.Random) -> str:
    """Abbreviate about two of three words that can be."""
    for phrase, short in _ABBREVIATIONS:
        parts = re.split(rf"\b({re.escape(phrase)})\b", text, flags=re.IGNORECASE)
        # Every second part is the phrase as it was written.
        for place in range(1, len(parts), 2):
            if rng.random() < 2 / 3:
                parts[place] = short
        text = "".join(parts)
    return text
