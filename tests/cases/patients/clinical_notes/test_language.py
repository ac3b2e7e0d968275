"""Notes in other languages are told from short and Latin English ones."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mint_ray.cases.patients.clinical_notes.language import is_not_english
from tests.conftest import SHARED_DATA

NOTES = json.loads(Path(__file__).with_name("note_languages.json").read_text(encoding="utf-8"))
LINES = json.loads(
    (Path(__file__).parents[3] / "knowledge" / "notes" / "everyday_lines.json").read_text(
        encoding="utf-8"
    )
)


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "nl", "pt"])
def test_invented_notes(language: str) -> None:
    wrong = [
        note["text"]
        for note in NOTES
        if note["language"] == language and is_not_english(note["text"]) is (language == "en")
    ]
    assert not wrong


@pytest.mark.parametrize(
    "note",
    [
        "Dítě nemá křeče.",
        "У мальчика судорог нет.",
        "患者没有癫痫发作。",
        "Gutten har ikke hatt anfall.",
    ],
)
def test_further_languages(note: str) -> None:
    assert is_not_english(note)


@pytest.mark.parametrize("note", ["", "12/7, 38.5", "[masked]", "NO SEIZURES. HYPOTONIA PRESENT."])
def test_what_cannot_be_told_is_taken_for_english(note: str) -> None:
    assert not is_not_english(note)


def test_no_english_line_is_taken_for_another_language() -> None:
    wrong = [
        line["text"] for line in LINES if line["kind"] != "foreign" and is_not_english(line["text"])
    ]
    assert not wrong


def test_published_notes_are_english() -> None:
    file = SHARED_DATA / "clinical_notes.parquet"
    if not file.exists():
        pytest.skip(f"needs {file.name} in shared/data")
    notes = pq.read_table(file)["clinical_note"].to_pylist()
    assert sum(map(is_not_english, notes)) == 0
