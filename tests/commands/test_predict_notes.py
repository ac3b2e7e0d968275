"""Reading of `mint predict`'s tables of clinical notes, without a model."""

from pathlib import Path

import pyarrow.parquet as pq

from mint_ray.commands.predict import _write_notes
from mint_ray.knowledge.catalogue import Catalogue, Label

CATALOGUE = Catalogue(
    [Label("OMIM:1", "Amber syndrome", ("OMIM:1",), ("Bole disease",), ("GENA",))]
)


def test_clinical_notes_are_read_masked_and_counted(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "id,text,gene\n"
        "a,Seizures. A variant in GENA: Bole disease.,GENA\n"
        "b,Der Patient hat keine Krampfanfälle und keine Ataxie.,\n"
        "c,---,\n",
        encoding="utf-8",
    )
    rejected, changed = _write_notes(tmp_path / "mine.csv", tmp_path / "out.parquet", CATALOGUE)
    assert [(row["case_id"], row["reason"]) for row in rejected] == [("c", "no_modality")]
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["note"] for row in rows] == [
        "Seizures. A variant in [masked]: [masked].",
        "Der Patient hat keine Krampfanfälle und keine Ataxie.",
    ]
    assert (changed["notes_not_in_english"], changed["notes_masked"]) == (1, 1)
