"""Drawn tiles of stained tissue: the source that needs no files.

SYNTHETIC stand-ins for histology, see docs/tiles.md. A tile depends only on the run's seed, its
patient and its own number, not on the order or the process in which it is drawn.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from PIL import Image

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import TilesConfig
from mint_ray.errors import ConfigError
from mint_ray.images.tiling import encode_tile
from mint_ray.images.tissue.drawing import render_tile
from mint_ray.images.tissue.patients import Patient, draw_patient
from mint_ray.images.tissue.types import TISSUES, Tissue


class DrawnTiles:
    """Tiles of simulated patients; ids are `<tissue>-p<patient>-t<tile>`.

    Raises:
        ConfigError: `config.tissues` is larger than the number of tissues in the table.
    """

    name = "tiles"
    reading = ""

    def __init__(self, config: TilesConfig, seed: int) -> None:
        if config.tissues > len(TISSUES):
            raise ConfigError(
                f"cases.tiles.tissues={config.tissues}: expected at most {len(TISSUES)}, the "
                "tissues of docs/tiles.md; lower it"
            )
        self._config, self._seed = config, seed
        self._tissues: dict[str, Tissue] = {}
        for tissue in TISSUES[: config.tissues]:
            self._tissues[_label(tissue)[0]] = tissue
        self._patient = lru_cache(maxsize=64)(self._draw_patient)

    def labels(self) -> dict[str, str]:
        """Return label id -> name of the drawn tissues."""
        return dict(_label(tissue) for tissue in self._tissues.values())

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every tile of every patient."""
        for label_id, name in self.labels().items():
            slug = label_id.partition(":")[2]
            for patient in range(self._config.patients_per_tissue):
                group = f"{slug}-p{patient:04d}"
                for tile in range(self._config.tiles_per_patient):
                    yield TileRef(f"{group}-t{tile:03d}", group, label_id, name)

    def read_tiles(self, refs: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """Draw the tiles."""
        for ref in refs:
            patient = self._patient(ref.label_id, ref.group_id)
            seed = stable_seed(self._seed, "tile", ref.case_id)
            tile = render_tile(patient, self._config.side, seed)
            image = Image.fromarray(tile.rgb)
            yield TileImage(encode_tile(image, lossless=False), image, tile.nuclei)

    def _draw_patient(self, label_id: str, group_id: str) -> Patient:
        seed = stable_seed(self._seed, "tile patient", group_id)
        return draw_patient(self._tissues[label_id], self._config.variation, seed)


def _label(tissue: Tissue) -> tuple[str, str]:
    label = tissue_label(tissue.name)
    assert label is not None  # every row of the table has a name
    return label
