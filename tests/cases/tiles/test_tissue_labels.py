"""Names of tissues, however they are spelled; the table of drawn ones."""

from pathlib import Path

import pytest

from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.images.tissue.types import TISSUES, tissues_table

DOCS = Path(__file__).parents[3] / "docs" / "tiles.md"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Adrenal_gland", ("TISSUE:adrenal_gland", "Adrenal gland")),
        ("Bile-duct", ("TISSUE:bile_duct", "Bile duct")),
        ("HeadNeck", ("TISSUE:head_and_neck", "Head and neck")),
        (" colon\n", ("TISSUE:colon", "Colon")),
        ("Œsophage", ("TISSUE:œsophage", "Œsophage")),
        ("../../x", ("TISSUE:x", "../../x")),
        ("BileDuct", ("TISSUE:bile_duct", "Bile Duct")),
        ("Tumour", ("TISSUE:tumour", "Tumour")),
        ("HER2+", ("TISSUE:her2_positive", "HER2 positive")),
        ("HER2 -", ("TISSUE:her2_negative", "HER2 negative")),
        ("iPSC", ("TISSUE:ipsc", "IPSC")),
        ("nan", None),
        (" N/A ", None),
        ("", None),
        ("_-", None),
    ],
)
def test_labels(text: str, expected: tuple[str, str] | None) -> None:
    assert tissue_label(text) == expected


def test_the_table_is_documented() -> None:
    assert tissues_table() in DOCS.read_text(encoding="utf-8")
    assert len({tissue.name for tissue in TISSUES}) == len(TISSUES) >= 10
