"""What every source of tiles offers: a light list of its cases, and their pixels on demand.

A list of tens of thousands of tiles fits in memory, their pixels do not: a source first says
where each case's pixels come from, and opens them when asked, a few at a time, in any process.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mint_ray.cases.schema import RejectedCase, Split

WHOLE = -1
"""`TileRef.top` and `TileRef.left` of a case that takes its whole image."""


class TileRef(NamedTuple):
    """A case of which only the pixels are missing, and where they are.

    Attributes:
        case_id, group_id, label_id, label_name: as in `CASE_SCHEMA`.
        split: where the source sets it.
        description: where the source has one.
        file: path below the source's own.
        row: of the file, where it holds several images.
        top, left: of the square that is cut, in pixels; `WHOLE` for the whole image.
    """

    case_id: str
    group_id: str
    label_id: str
    label_name: str
    split: Split | None = None
    description: str = ""
    file: str = ""
    row: int = 0
    top: int = WHOLE
    left: int = WHOLE


TILE_REF_SCHEMA = pa.schema(
    [
        pa.field(name, pa.int64() if name in ("row", "top", "left") else pa.string())
        for name in TileRef._fields
    ]
)


class TileImage(NamedTuple):
    """A case's image.

    Attributes:
        encoded: bytes to keep.
        image: the same, decoded to RGB.
        mask: (height, width), not zero inside nuclei; None where nothing is known of them.
    """

    encoded: bytes
    image: Image.Image
    mask: NDArray[np.int32] | None = None


class TileSource(Protocol):
    """A source of tiles."""

    @property
    def name(self) -> str:
        """Of the column `source`."""

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Every case, or why something that might be one is none; opens no more than it must.

        Raises:
            DataError: the source cannot be used at all.
        """

    def read_tiles(self, places: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """The picture of each place, or the reason why there is none, in the order given."""
