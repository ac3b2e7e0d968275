"""Words that say whether a finding is stated, denied or left open, and whose it is.

The lists follow NegEx and ConText (Chapman et al., J Biomed Inform 2001; Harkema et al., J Biomed
Inform 2009), extended by what everyday notes use. English, with the commonest negations and
relatives of German, French, Spanish, Italian and Dutch. With look-ups that need words alone.
"""

import re
from collections.abc import Sequence
from typing import Literal

Assertion = Literal["present", "excluded", "open"]
"""`open`: possible, hypothetical, not about the patient, or part of another name."""

Phrases = dict[str, list[tuple[str, ...]]]
"""Phrases as their words, longest first, by the first word."""


def phrases(*lines: str) -> Phrases:
    """Return the phrases of lines in which bars part them, ready to be looked up."""
    split = {tuple(phrase.split()) for line in lines for phrase in line.split("|")}
    found: Phrases = {}
    for phrase in sorted(split, key=len, reverse=True):
        found.setdefault(phrase[0], []).append(phrase)
    return found


def length_at_start(words: Sequence[str], phrases: Phrases) -> int:
    """Return the number of words of the longest phrase that `words` begin with, 0 for none."""
    for phrase in phrases.get(words[0], ()) if words else ():
        if tuple(words[: len(phrase)]) == phrase:
            return len(phrase)
    return 0


NEGATION, UNCERTAIN, OPEN, PSEUDO, TURN = "negation", "uncertain", "open", "pseudo", "turn"
_GUESSED = ("likely", "probably", "possibly", "presumably", "perhaps", "maybe")
_PLACES_OF_CARE = tuple(
    f"{the}{place}"
    for the in ("", "the ")
    for place in ("ed", "er", "hospital", "clinic", "emergency department", "emergency room")
)
_KINDS_OF_CARE = (
    "care",
    "help",
    "medical care",
    "medical attention",
    "medical advice",
    "attention",
)
_CAUSES = ("due to", "secondary to", "because of", "owing to", "caused by", "related to")

TRIGGERS: dict[str, Phrases] = {
    # Words of negation that deny something else, or nothing.
    PSEUDO: phrases(
        "no change in|no changes in|no increase in|no increased|no decrease in|no worsening of",
        "no worsening in|no improvement in|no improvement of|no progression of|no further|no more",
        "no recurrence of|no recurrent|no relapse of|no longer|no longer has|not only|not just",
        "not merely|no doubt|without doubt|without a doubt|no question|no significant change in",
        "no reduction in|no new|no additional|no other|not well controlled|not improved",
        "likely pathogenic|likely benign|probably pathogenic|possibly pathogenic|probably damaging",
        "possibly damaging|not resolved|no resolution of|not without|no relief of|no relief from",
    ),
    NEGATION: phrases(
        "no|not|without|w / o|denies|denied|deny|denying|never|nor|neither|none of|absence of",
        "absent|negative for|neg for|neg . for|free of|free from|ruled out|rules out|lack of",
        "unable to detect|unable to find|unable to elicit|unable to demonstrate|unable to identify",
        "lacks|lacked|lacking|excluded|excludes|exclude|excluding|failed to show",
        "failed to reveal|fails to show|unremarkable for|rather than|instead of|cannot find",
        "no evidence of|ø|- ve for|zero|not a single|no longer any|at no time",
        # German, French, Spanish, Italian, Dutch.
        "kein|keine|keinen|keiner|keinerlei|ohne|nie|nicht|sans|pas de|pas d|aucun|aucune|jamais",
        "absence d|absence de|sin|niega|nunca|ausencia de|senza|nessun|nessuna|nessuno|nega|mai",
        "assenza di|nobody|no one|nil|- ve|allowed us to rule out|able to rule out|we ruled out",
        "geen|zonder|nooit|ni|né|non",
    ),
    UNCERTAIN: phrases(
        "possible|possibly|probable|perhaps|maybe|presumably|not rule out|would not rule out",
        "sospetta|verdacht auf|sospecha de|suspected|suspicion of|suspicious for|questionable",
        "question of|query|rule out|r / o|to exclude|unclear whether|uncertain whether",
        "not sure whether|may have|might have|might be|may be|could have been|could be",
        *(f"{word} {cause}" for word in _GUESSED for cause in _CAUSES),
        "?|likely|probably|presumed|v . a .",
        "could have|cannot exclude|can't exclude|cannot rule out|can't rule out",
        "could not exclude|neither proves nor excludes|suggestive of|equivocal|versus",
    ),
    # Plans, conditions, risks, and people in general.
    OPEN: phrases(
        "if|unless|should|in case of|in the event of|risk of|risk for|risks of|at risk of",
        "risk factor for|monitor for|monitored for|monitoring for|monitoring of|screening for",
        "screen for|screened for|watch for|watch out for|surveillance for|look out for",
        *(
            f"{verb} {place} {link}"
            for verb in ("return to", "come back to", "go to")
            for place in _PLACES_OF_CARE
            for link in ("for", "with")
        ),
        *(f"seek {kind} {link}" for kind in _KINDS_OF_CARE for link in ("for", "with")),
        "call us for|call for|call your doctor for|return for|come back for|to prevent|prevent",
        "prevention of|prophylaxis against|counselled about|counseled about|counselled on",
        "advised about",
        "concern about|concern of|concerns for|possibility of",
        "informed about|side effects|side effect|adverse effects|can cause|may cause|may lead to",
        "can lead to|may present with|can present with|may develop|might develop|could develop",
        "often develop|often have|vaccination against|vaccinated against|vaccine against",
        "children with|patients with|people with|individuals with|call if",
        "precaution for|precautions for|referred to rule out|leaflet on|leaflet about",
        "information on|read about|asked about|afraid of|fear of|whether|concern for",
        "concerning for|concerns about|evaluate for|evaluated for|assess for|investigate for",
        "test for|tested for|testing for|consider|considered|differential includes",
        "differential diagnosis includes",
    ),
    # Words that begin another statement.
    TURN: phrases(
        "but|however|although|though|yet|whereas|while|nevertheless|except|except for|apart from",
        "aside from|other than|besides|only|otherwise|since then|now|later|then|just|admits",
        "reveals",
        "because of|due to|owing to|secondary to|c / o|complains of|complaining of|admits to",
        "endorses|endorsed|endorsing|w /|+",
        "p / w|presenting with|admitted for|admitted with|here for",
        "presents with|positive for|pos for|pos . for|+ ve for|+ for",
        "aber|sondern|jedoch|hingegen|mais|pero|sino|ma|però|tuttavia|maar|wel|echter|presente",
    ),
}
VERBS = frozenset(
    "has have had shows showed show presents presented present developed develops demonstrates"  # noqa: SIM905
    " exhibits exhibited reports reported suffers is was are were began started remains persists"
    " found saw says confirms describes with hat presenta présente tiene ha heeft est ist".split()
)
PATIENT = frozenset(
    "he she they it patient proband child boy girl infant himself er sie elle lui paciente"  # noqa: SIM905
    " paziente patiënt patientin".split()
)
CHILD = PATIENT | frozenset(
    "son daughter sons daughters baby offspring neonate fetus foetus born man woman male"  # noqa: SIM905
    " female".split()
)
CHILD_DOES = (VERBS - {"with"}) | {"who", "she", "he", "noted"}
SUBJECTS = PATIENT | {"we", "i", "who", "which", "herself"}
POSSESSIVES = frozenset(["his", "her", "their", "my", "your", "whose"])
HEAD_OF_OTHER = frozenset(
    "cause treatment therapy surgery explanation reason medication etiology aetiology need"  # noqa: SIM905
    " intervention operation drug trigger triggers indication referral follow".split()
)
"""After "no": what is denied is this, not the finding it is for."""

OBSERVED = (
    "present|seen|found|palpable|recorded|witnessed|measured|noticed|identified|observed|noted|detected|felt|elicited|evident|visible|apparent|reported"
    "|heard|demonstrated|documented|had|experienced|a feature"
)
NOT_AFTER = phrases(
    *(
        f"{no} {word}"
        for no in ("not", "never", "not be", "never been", "not been", "n't", "n't been")
        for word in OBSERVED.split("|")
    ),
    *(
        f"{none} {word}"
        for none in ("none", "nil")
        for word in (*OBSERVED.split("|"), "known", "to date", "so far", "ever", "recently")
    ),
    "denies|no evidence",
    "absent|ruled out|been ruled out|excluded|denied|negative|neg|none|nil|no|not|n|- ve|-|–|−|0",
    "there are none|there is none|there were none",
    "there was none|she had not seen|he had not seen|they had not seen|does not apply",
    "failed to be|✗|✘|❌|not appeared|not occurred|nicht beobachtet|nicht vorhanden|nicht gefunden",
    "never|never occurred|he never had|she never had|unlikely|lacking|false",
    "abwesend|verneint|ausgeschlossen|nicht|absente|ausente|assente|afwezig|ontkend|negado|negato",
)
YES_AFTER = phrases(
    "✓|✔|✅|[ x ]",
    "present|yes|y|positive|pos|+|+ +|+ ve|noted|seen|reported|true|definite|marked|ja|oui|sí|sì",
)
OPEN_AFTER = phrases(
    "cannot be excluded|can't be excluded|could not be excluded|cannot be ruled out|not excluded",
    "can not be excluded|could not be ruled out|not ruled out|not been ruled out|not been excluded",
    "could not be assessed|could not be evaluated|not assessed|not tested|not examined",
    "not been tested|needs to be tested|still needs|not evaluated|not confirmed",
    "unknown|unclear|uncertain|suspected|possible|questionable|n / a",
    "na|not documented|not done|considered|being considered|under consideration|queried",
    "[ ]|( )|± |+ / -|runs in the family|segregates in the family|segregated in the family",
    "to be confirmed|to be excluded|to be ruled out|should be excluded|?",
    "not yet confirmed|not yet excluded|not yet ruled out|unconfirmed|awaiting confirmation",
    ", to be confirmed|, to be excluded|, to be ruled out|, not confirmed|, not yet confirmed",
    ", yet to be confirmed|, awaiting confirmation|, unconfirmed",
)
OTHER_NAME_AFTER = phrases(
    "gene|genes|gene panel|panel|clinic|scale|score|action plan|leaflet|questionnaire|society",
    "association|foundation|ward|unit|support group|registry|screen|screening|precautions",
    "prophylaxis|risk|nurse|school|protocol|specialist|service|study|guideline|guidelines|team",
    "counselling|diary|group|centre|center|meeting|helpline|trust",
)
RELATIVES = frozenset(
    "mother father brother brothers sister sisters sibling siblings sib sibs parent parents cousin"  # noqa: SIM905
    " cousins uncle uncles aunt aunts grandmother grandfather grandparent grandparents niece"
    " nephew son daughter maternal paternal relative relatives twin mum mom dad grandma grandpa"
    " granny mgm mgf pgm pgf wife husband family fh fhx mutter vater bruder schwester onkel tante"
    " mère père frère soeur sœur oncle madre padre hermano hermana tío tía fratello sorella zio zia"
    " moeder vader broer zus oom".split()
)
OF_FAMILY = frozenset(["history", "member", "members", "in", "has", "have", "hx"])
REPORTING = frozenset(
    "report reports reported reporting note notes noted noticed notice notices state states stated"  # noqa: SIM905
    " say says said describe describes described deny denies denied mention mentions mentioned"
    " complain complains complained observe observes observed think thinks thought feel feels felt"
    " saw sees seen see brings brought worried worry worries concerned recall recalls recalled tell"
    " tells told claims claim confirms confirmed believes aware witnessed".split()
)
ATTENDING = frozenset(
    "brought accompanied here came comes presents presented attends attended".split()  # noqa: SIM905
)
LIKE = frozenset(["like", "as", "unlike", "per", "according", "inherited", "from"])
EXAMPLES = phrases(
    "including|such as|namely|like|as is|as are|as was|as were|as well as|e . g|i . e",
    "eliminating|mitigating",
)
"""Words that go on with what was denied: "Other signs were absent, including seizures"."""
LINKS = frozenset(
    ': " - – — = → ( [ ] ; ? | . is was are were has have had been be could also again clearly all'  # noqa: SIM905
    " so far safely likewise carefully notably explicitly expressly specifically clinically"
    " conclusively definitively effectively consistently currently completely entirely repeatedly"
    " wurde wurden wird werden wordt worden est es è".split()
) | {"\t"}
LIST_MARKS = frozenset([",", "and", "or", "/", "und", "et", "y", "e", "o", "en", "oder", "ou", "&"])
LIST_OR = frozenset(["or", "nor", "ni", "oder"])
HISTORIES = frozenset(
    "history hx anamnesis examination exam screening screen testing test tests workup evaluation"  # noqa: SIM905
    " assessment imaging review study studies".split()
)
"""Sources of an answer behind a finding: "Seizures: patient history negative"."""
OWN_HISTORY = frozenset(
    "patient patient's patient’s personal own his her past medical clinical the physical"  # noqa: SIM905
    " neurological proband's childhood perinatal neonatal".split()
)
HISTORY_ANSWERS: dict[str, Assertion] = {
    "negative": "excluded",
    "neg": "excluded",
    "unremarkable": "excluded",
    "clear": "excluded",
    "positive": "present",
    "pos": "present",
}
CONTRACTION = re.compile(r"\w+n['’]t$")


def split_contraction(word: str) -> list[str]:
    """Return the parts of "didn't": "did" and "n't"; any other word as it is."""
    match = CONTRACTION.match(word)
    return [word[:-3], "n't"] if match else [word]


def told_by_history(words: Sequence[str]) -> Assertion | None:
    """Return what a history or an examination says: "Seizures: patient history negative"."""
    if not words or words[0] not in (":", "-", "–", "—", "("):
        return None
    denied = words[1:2] == ["no"]
    at = begin = 1 + denied
    while at < len(words) and (
        words[at] in OWN_HISTORY or (at > begin and words[at] in LIST_MARKS)
    ):
        at += 1
    named = at < len(words) and words[at].removesuffix("'s") in RELATIVES
    of_relatives = named and at == begin  # "patient and family history" is of the patient too
    at += named
    if at >= len(words) or words[at] not in HISTORIES:
        return None
    at += 1
    if denied:
        return "open" if of_relatives else "excluded"
    while at < len(words) and words[at] in LINKS:
        at += 1
    answer = HISTORY_ANSWERS.get(words[at]) if at < len(words) else None
    return "open" if answer and of_relatives else answer


def bare(word: str) -> str:
    """Return a word without the ending of a possessor."""
    return word.removesuffix("'s").removesuffix("’s")


def is_of_relative(words: Sequence[str], at: int) -> bool:
    """Return whether the patient at a place is there to name a relative: mother of the patient."""
    before = words[max(0, at - 5) : at]
    return "of" in before[-4:] and any(bare(word) in RELATIVES for word in before)


def has_child(words: Sequence[str], at: int) -> bool:
    """Return whether the relative at a place is there to tell of a child, of whom the clause is.

    "The second child of unrelated parents presented with", "born to healthy parents and has".
    """
    start = max(0, at - 6)
    links = [place for place in range(start, at) if words[place] in ("of", "to", "whose")]
    if not links or "," in words[links[-1] : at]:
        return False
    before = {bare(word) for word in words[max(0, links[-1] - 8) : links[-1]]}
    return bool(before & CHILD) and not CHILD_DOES.isdisjoint(words[at + 1 :])


def is_joined_to_patient(words: Sequence[str], at: int) -> bool:
    """Return whether the relative at a place stands beside the patient: she and her mother."""
    at -= words[at - 1 : at] != [] and words[at - 1] in POSSESSIVES
    if at < 2 or words[at - 1] not in ("and", "&") or bare(words[at - 2]) not in PATIENT:
        return False
    # Not in "no tremor in the girl and her mother had", "mother of the patient and her sister".
    return {"in", "of", "for", "to", "with"}.isdisjoint(words[max(0, at - 4) : at - 2])


def attends(words: Sequence[str], at: int) -> bool:
    """Return whether the relative at a place came with the patient: brought by his mother with."""
    before = words[max(0, at - 6) : at]
    came = {"by", "with"} & {*before} and ATTENDING & {*before}
    return bool(came) and words[at + 1 : at + 2] in (["with"], ["for"], ["because"], ["due"])


def ticked(words: Sequence[str]) -> Assertion | None:
    """Return the answer whose box is ticked: "[ ] yes [x] no"."""
    for at in range(min(len(words), 8) - 3):
        if words[at] in ("[", "(") and words[at + 1] in ("x", "✓") and words[at + 2] in ("]", ")"):
            return {"yes": "present", "no": "excluded"}.get(words[at + 3])  # type: ignore[return-value]
    return None
