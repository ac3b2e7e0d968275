"""The stage `prefer` without Ray: what it turns away, and what it says of it."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.images.faces.findings import FACE_FINDINGS
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.pipeline.steps import StepContext
from mint_ray.runtime.inference import CaseInference
from mint_ray.stages import prefer
from mint_ray.teachers.faces.reader import FaceReader
from mint_ray.teachers.fusion.label_profiles import ProfileMatch
from mint_ray.teachers.fusion.network import FusionNetwork
from mint_ray.teachers.fusion.teacher import FusionParts, finding_closures, save_fusion
from mint_ray.teachers.fusion.term_features import smoothed_information_content
from mint_ray.teachers.term_encoder import TermEncoder
from tests.teachers.faces.test_pixels import decompression_bomb

LABELS = {f"OMIM:90000{i}": f"Invented disease {i}" for i in range(6)}


def picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 60).save(file, "PNG")
    return file.getvalue()


IMAGES = {
    "bomb": decompression_bomb(),
    "empty": b"",
    "good": picture(),
    "none": None,
    "truncated": picture()[:200],
}


def save_unfitted(folder: Path, catalogue: Catalogue) -> None:
    """A teacher that has learned nothing, which is enough to look at images."""
    ontology = load_ontology()
    encoder, n_terms = TermEncoder(ontology), len(ontology.ids)
    profiles = [()] * len(catalogue)
    parts = FusionParts(
        catalogue,
        ontology,
        FaceReader(len(FACE_FINDINGS)),
        FusionNetwork(n_terms, len(FACE_FINDINGS), len(catalogue), 8, 0.0),
        smoothed_information_content(profiles, encoder, n_terms),
        ProfileMatch.of_profiles(profiles, encoder, n_terms, finding_closures(encoder)),
    )
    save_fusion(folder, parts, {"hidden": 8})


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StepContext:
    """A step whose cases have one image each and nothing else for the teacher."""

    def in_this_process(job: CaseInference, source: Path, *_: object) -> list[pa.Table]:
        return [job.actor(**job.arguments)(pq.read_table(source, columns=list(job.columns)))]

    monkeypatch.setattr(prefer, "infer_in_order", in_this_process)
    monkeypatch.setattr(prefer, "begin_session", lambda resources, say: None)
    folders = {name: tmp_path / name for name in ("cases", "teach", "prefer")}
    for folder in folders.values():
        folder.mkdir()
    catalogue = build_catalogue(Annotations({}, {}, {}, {}), LABELS, "OMIM", "all")
    catalogue.write(folders["cases"] / "catalogue.parquet")
    save_unfitted(folders["teach"], catalogue)
    rows = [
        {**blank_case(name, "test"), "split": "train", "note": "Unwell.", "image": image}
        for name, image in IMAGES.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folders["cases"] / "cases.parquet")
    config = Config.model_validate({"preferences": {"chosen_size": 2, "rejected_size": 2}})
    task = SimpleNamespace(say=lambda text: None)
    return StepContext(config, "key", folders, folders["prefer"], None, task)  # type: ignore[arg-type]


def test_what_is_wrong_with_an_image_is_named(context: StepContext) -> None:
    outcome = prefer.run(context)
    table = pq.read_table(context.output / "rejected.parquet")
    assert dict(zip(table["case_id"].to_pylist(), table["reason"].to_pylist(), strict=True)) == {
        "bomb": "image_too_large",
        "empty": "image_unreadable",
        "none": "no_image_or_known_term",
        "truncated": "image_unreadable",
    }
    assert outcome.rejected["image_unreadable"] == 2
    assert pq.read_table(context.output / "train.parquet")["case_id"].to_pylist() == ["good"]
    card = (context.output / "README.md").read_text()
    assert "| image_unreadable | 2 |" in card
    assert "the 20 most frequent rejected names make up | 100.0 % of the rejected places" in card
    assert outcome.facts["frequent_rejected"] == 1


def test_a_group_has_no_more_cases_than_its_limit(context: StepContext) -> None:
    file = context.inputs["cases"] / "cases.parquet"
    rows = [
        {
            **blank_case(f"{group}{number}", "test"),
            "split": split,
            "group_id": group,
            "label_id": "OMIM:900000",
            "note": "Unwell.",
            "image": IMAGES["good"],
        }
        for group, split in (("few", "train"), ("many", "train"), ("tested", "test"))
        for number in range(2 if group == "few" else 4)
    ]
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), file)
    preferences = context.config.preferences.model_copy(update={"max_per_group": 2})
    limited = context.config.model_copy(update={"preferences": preferences})
    outcome = prefer.run(replace(context, config=limited))
    assert outcome.rejected == {"above_group_limit": 2}
    trained = pq.read_table(context.output / "train.parquet")["group_id"].to_pylist()
    assert Counter(trained) == {"few": 2, "many": 2}
    assert pq.read_table(context.output / "test.parquet").num_rows == 4
