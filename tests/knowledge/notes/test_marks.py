"""Findings beside signs, codes, headings of Markdown, and in other spellings and line ends."""

import pytest

from mint_ray.knowledge.names import american
from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
IDS = {
    "anemia": "HP:0001903",
    "ataxia": "HP:0001251",
    "cerebellar atrophy": "HP:0001272",
    "cough": "HP:0012735",
    "fever": "HP:0001945",
    "hematuria": "HP:0000790",
    "hemangioma": "HP:0001028",
    "ptosis": "HP:0000508",
    "scoliosis": "HP:0002650",
    "seizure": "HP:0001250",
    "tremor": "HP:0001337",
}


SPLIT = ("ataxia", "seizure")


def ids(names: str) -> set[str]:
    return {IDS[name] for name in names.split(", ") if name}


def check(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    found = present_and_excluded(reader.read(note))
    assert tuple(map(set, found)) == (ids(present), ids(excluded))


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("(-) seizures (+) ataxia", "ataxia", "seizure"),
        ("[-] Seizures\n[+] Ataxia", "ataxia", "seizure"),
        ("✗ Seizures\n✓ Ataxia", "ataxia", "seizure"),
        ("❌ Seizures\n✅ Ataxia", "ataxia", "seizure"),
        ("Seizures ✗, ataxia ✓", "ataxia", "seizure"),
        ("Seizures → no", "", "seizure"),
        ("Seizures -ve, ataxia +ve", "ataxia", "seizure"),
        ("ROS: +fever, -cough, +tremor", "fever, tremor", "cough"),
        ("-fever +cough", "cough", "fever"),
        ("-ve for ataxia, +ve for tremor", "tremor", "ataxia"),
        ("[x] Seizures [ ] Ataxia [x] Ptosis", "seizure, ptosis", ""),
        ("Seizures: [ ] Ataxia: [x]", "ataxia", ""),
        ("☑ No seizures", "", "seizure"),
        ("[-] Seizures. Ataxia since age 2.", "ataxia", "seizure"),
        ("Ataxia (+), tremor (-), ptosis (+/-)", "ataxia", "tremor"),
        ('{"Ataxia": false, "Tremor": true}', "tremor", "ataxia"),
        # Bullets and hyphens are no signs.
        ("- scoliosis + ataxia", "scoliosis, ataxia", ""),
        ("- fever\n- cough", "fever, cough", ""),
        ("Ataxia - progressive; scoliosis + tremor", "ataxia, scoliosis, tremor", ""),
    ],
)
def test_signs_and_boxes(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("**Negative findings:** seizures, ataxia\n**Exam:** ptosis", "ptosis", "seizure, ataxia"),
        ("* **Seizures:** absent\n* **Ataxia:** present", "ataxia", "seizure"),
        ("- **Seizures**: No\n- **Ataxia**: Yes", "ataxia", "seizure"),
        ("## Family history\nseizures\n\n## Examination\nptosis", "ptosis", ""),
        ("Family history:\n\n- ataxia\n- fever\n\nExamination:\n\n- ptosis", "ptosis", ""),
        ("Family history:\n\nPhysical exam:\nPtosis", "ptosis", ""),
        ("ABSENT FEATURES\nseizures\nataxia", "", "seizure, ataxia"),
        ("Features not present: seizures, ataxia", "", "seizure, ataxia"),
        ("Clinical findings (absent): seizures", "", "seizure"),
        ("Symptoms denied by patient: seizures", "", "seizure"),
        ("Not seen: scoliosis. Seen: ptosis.", "ptosis", "scoliosis"),
        ("Excluded by MRI: cerebellar atrophy", "", "cerebellar atrophy"),
        ("Confirmed on MRI cerebellar atrophy", "cerebellar atrophy", ""),
        ("Query: scoliosis.\nExam: ptosis", "ptosis", ""),
        ("Fam Hx: seizures", "", ""),
        ("Mother: scoliosis. Proband: ataxia.", "ataxia", ""),
        # A heading within a line ends the one above, but for one of the same kind.
        ("Pertinent negatives:\nno fever\nExam: ataxia\nTremor", "ataxia, tremor", "fever"),
        ("Family history:\nMother well.\nExam: ataxia.\nTremor at 2.", "ataxia, tremor", ""),
        ("Plan:\nMRI for ataxia\nFindings: fever. Ptosis.\nTremor", "fever, ptosis, tremor", ""),
        (
            "Family history:\nAll well.\nExam: ataxia   Eyes: ptosis\nTremor",
            "ataxia, ptosis, tremor",
            "",
        ),
        ("Family history:\nMother: scoliosis\nTremor at 60\nExam: ptosis", "ptosis", ""),
        ("Negatives:\nNot seen: fever\nTremor\n\nPtosis", "ptosis", "fever, tremor"),
    ],
)
def test_headings(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("HP:0001250 - absent\nHP:0001251 - present", "ataxia", "seizure"),
        ("HP:0001251, HP_0001337", "ataxia, tremor", ""),
        ("no HP:0001250", "", "seizure"),
        ("Findings: HP 0001250", "seizure", ""),
        ("He has HP 0001250.", "seizure", ""),
        ("HP 0001250, HPO 0001251", "ataxia, seizure", ""),
        ("HP 0001250\nAtaxia", "ataxia, seizure", ""),
        ("HP 0001250 and ataxia", "ataxia, seizure", ""),
        ("HP-0001250 ataxia", "ataxia, seizure", ""),
        ("HP : 0001250 ataxia, no HP 0001337", "ataxia, seizure", "tremor"),
        ("Seizure (HP 0001250) and ataxia (HP-0001251) absent", "", "ataxia, seizure"),
        ("HP 1250, HP 0001250 1, HP", "seizure", ""),
        ("Seizure (HP:0001250) excluded; ataxia (HP:0001251)", "ataxia", "seizure"),
        ("Seizure (G40.9) absent", "", "seizure"),
        ("Ataxia (score 12/40), tremor", "ataxia, tremor", ""),
        ("HP:9999999, HP:0000118, HP:0000006", "", ""),
        ("HPO,Name,Status\nHP:0001250,Seizure,excluded\nHP:0001251,Ataxia,observed", *SPLIT),
        ("id,label,excluded\n7,Ataxia,true\n8,Tremor,false", "tremor", "ataxia"),
        ("Finding: ataxia | Status: absent\nFinding: tremor | Status: present", "tremor", "ataxia"),
    ],
)
def test_ids_and_codes(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("?seizures, ?ataxia. Tremor.", "tremor", ""),
        ("Ataxia ?cause", "ataxia", ""),
        ("Ataxia ?tremor", "ataxia", ""),
        ("At 27?weeks ataxia and (?tremor)", "ataxia", ""),
        ("Likely scoliosis.", "", ""),
        ("Likely pathogenic variant in a girl with ataxia", "ataxia", ""),
        ("Ataxia, probably due to cerebellar atrophy", "ataxia", ""),
        ("This raises the possibility of ataxia.", "", ""),
        ("V.a. scoliosis.", "", ""),
        ("Scoliosis cannot be excluded, tremor is present.", "tremor", ""),
        ("Tremor failed to be elicited.", "", "tremor"),
        ("Unable to detect tremor. Ataxia.", "ataxia", "tremor"),
        ("Ataxia runs in the family.", "", ""),
        ("The mother was noted to have scoliosis.", "", ""),
        ("The mother noted scoliosis.", "scoliosis", ""),
    ],
)
def test_uncertain_and_relatives(
    reader: FindingReader, note: str, present: str, excluded: str
) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("Scoliosis\rNo seizures\rPtosis", "scoliosis, ptosis", "seizure"),
        ("Scoliosis\u2028no ataxia\u2028ptosis", "scoliosis, ptosis", "ataxia"),
        ("Sco\u00adliosis; no sei\u00adzures", "scoliosis", "seizure"),
        ("no sei\u200bzures", "", "seizure"),
        ("Haematuria and anaemia, no haemangioma.", "hematuria, anemia", "hemangioma"),
    ],
)
def test_spellings(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    check(reader, note, present, excluded)


def test_places_are_those_of_the_note(reader: FindingReader) -> None:
    note = "**Exam:**\r\nno sei\u00adzures,\rataxia (HP:0001251)"
    shown = [note[found.start : found.end] for found in reader.read(note)]
    assert shown == ["sei\u00adzures", "ataxia (HP:0001251)"]


def test_an_id_ends_with_its_digits(reader: FindingReader) -> None:
    note = "He has HP 0001250, HP-0001251 and HP: 0001337."
    shown = [note[found.start : found.end] for found in reader.read(note)]
    assert shown == ["HP 0001250", "HP-0001251", "HP: 0001337"]


@pytest.mark.parametrize("word", ["four", "toes", "aerobic", "bullae", "hour", "system"])
def test_words_that_are_no_british_spelling_stay(word: str) -> None:
    assert american(word) == word


@pytest.mark.parametrize(
    ("note", "present"),
    [
        ("He had sei-\nzures and a tre-\n  mor.", "seizure, tremor"),
        ("Findings:\n- sei-\nzures\n- scolio-\nsis", "seizure, scoliosis"),
        ("She has cere-\nbel-\nlar atrophy.", "cerebellar atrophy"),
        ("She has cerebellar-\natrophy.", "cerebellar atrophy"),
        ("Well-\nknown for fever.", "fever"),
        ("Short- and long-term fever.", "fever"),
    ],
)
def test_a_word_may_be_divided_by_a_lines_end(
    reader: FindingReader, note: str, present: str
) -> None:
    check(reader, note, present, "")


@pytest.mark.parametrize(
    "note",
    ["Scoliosis, to be confirmed.", "Scoliosis not yet confirmed.", "Scoliosis, unconfirmed."],
)
def test_what_is_to_be_confirmed_is_open(reader: FindingReader, note: str) -> None:
    check(reader, note, "", "")
