"""Settings of the cases and of the knowledge base."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mint_ray.config.base import Fraction, Section


class SimulationConfig(Section):
    """Patients drawn from the disease annotations (`cases.source: simulated`)."""

    diseases: int = Field(24, ge=2)
    """Number of diseases to draw patients for, the best annotated first."""
    disease_ids: tuple[str, ...] = ()
    """Draw patients for these diseases instead."""
    patients_per_disease: int = Field(16, ge=3)
    """Simulated patients per disease, over all splits."""
    imprecision: Fraction = Field(0.15, ge=0, le=1)
    """Probability that a term is replaced by one of its parents."""
    missing: Fraction = Field(0.3, ge=0, le=1)
    """Probability that a present term goes unrecorded."""
    noise_terms: float = Field(0.5, ge=0)
    """Mean number of unrelated terms per patient (Poisson)."""
    max_terms: int = Field(12, ge=1)
    """Most observed terms a simulated patient is given."""


class TilesConfig(Section):
    """Drawn tiles of stained tissue (`cases.source: tiles`); synthetic, see docs/tiles.md."""

    tissues: int = Field(8, ge=2)
    """Number of tissues, the first of the table."""
    patients_per_tissue: int = Field(12, ge=3)
    """Simulated patients per tissue, over all splits; each has a stain and a scanner of its own."""
    tiles_per_patient: int = Field(4, ge=1)
    """Tiles per patient."""
    side: int = Field(224, ge=64, le=1024)
    """Height and width of a tile, in pixels."""
    variation: float = Field(1.0, ge=0)
    """Spread of nuclei, stroma and stain between patients; 0 draws all patients alike."""


class ImagesConfig(Section):
    """Images of a folder, of a parquet table or of PanNuke's arrays."""

    label_column: str = "label"
    """Column of the answer's name (parquet)."""
    group_column: str | None = "group"
    """Column of what must not straddle splits: patient or slide; empty where each image is its
    own (parquet)."""
    image_column: str = "image"
    """Column of encoded bytes (parquet)."""
    mask_column: str | None = None
    """Column of encoded nucleus masks, not zero inside nuclei, where there are any (parquet)."""
    tile: int | None = Field(None, ge=32)
    """Cut images into squares of this side, in pixels; empty takes each image as one case."""
    min_label_groups: int = Field(1, ge=1)
    """Labels with fewer usable groups are left out, counted as `too_few_groups`."""
    official_splits: tuple[Literal["train", "validation", "test"], ...] = (
        "train",
        "validation",
        "test",
    )
    """Split of each fold folder in the order of their names (PanNuke)."""


class CasesConfig(Section):
    """Where cases come from and what each modality shows."""

    source: Literal["simulated", "phenopackets", "parquet", "tiles", "images", "pannuke"] = (
        "simulated"
    )
    """`simulated` draws patients and `tiles` images of tissue, and need no files; `phenopackets`
    reads a file, folder or ZIP; `parquet` a case table; `images` a folder
    `<label>/<group>/<file>` (or `<label>/<file>`) or a parquet table of images; `pannuke` the
    folder that holds PanNuke's fold folders."""
    path: Path | None = None
    """Input of the sources that read files."""
    modalities: Literal["both", "face_only_in_image", "text_only"] = "face_only_in_image"
    """`face_only_in_image` shows rendered facial terms in the image and keeps them out of the
    note; `both` shows them in both; `text_only` draws no image."""
    note_max_terms: int = Field(40, ge=1)
    """Most findings (observed, then excluded) that a written note states."""
    note_excluded_terms: int = Field(3, ge=0)
    """Most excluded findings that a written note states."""
    description: Literal["morphology", "none"] = "morphology"
    """What is written of an image for the teacher to read beside it: measured nuclear morphology,
    or nothing."""
    folds: int | None = Field(None, ge=2)
    """Cross-validation: deal the groups of each label into this many parts instead of drawing
    splits by fractions."""
    fold: int = Field(0, ge=0)
    """The part that is the test split, from 0; the next one is the validation split where
    `validation_fraction` is above 0."""
    validation_fraction: Fraction = Field(0.1, ge=0, lt=1)
    """Share of the cases in the validation split, by whole groups."""
    test_fraction: Fraction = Field(0.2, gt=0, lt=1)
    """Share of the cases in the test split, by whole groups."""
    simulation: SimulationConfig = SimulationConfig()
    tiles: TilesConfig = TilesConfig()
    images: ImagesConfig = ImagesConfig()

    @model_validator(mode="after")
    def _path_where_needed(self) -> "CasesConfig":
        if self.source not in ("simulated", "tiles") and self.path is None:
            raise ValueError(f"cases.path is required for cases.source={self.source}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("cases.validation_fraction + cases.test_fraction must be below 1")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"cases.fold={self.fold} must be below cases.folds={self.folds}")
        if self.folds == 2 and self.validation_fraction > 0:
            raise ValueError("cases.folds=2 leaves nothing to train on beside a validation split")
        if self.folds is not None and self.source == "pannuke":
            raise ValueError(
                "cases.folds deals groups, and PanNuke's are its official folds: turn "
                "cases.images.official_splits round instead"
            )
        return self


class KnowledgeConfig(Section):
    """The knowledge base and what of it may be used."""

    exclude_publications: Path | Literal["from_cases"] | None = "from_cases"
    """Annotations whose only sources are these publications are dropped: a file with one PMID a
    line, or `from_cases` for the publications of the evaluated (validation and test) cases."""
    namespace: str = "OMIM"
    """Id prefix of the catalogue's labels."""
    labels: Literal["all", "cases"] = "all"
    """`all`: every annotated disease and every training label; `cases`: only labels of cases."""
