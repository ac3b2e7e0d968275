"""Interface of tile sources: a light list of references to tiles, and pixels on demand.

A list of tens of thousands of tiles fits in memory, but their pixels do not. A source therefore
first lists where the pixels of each case are. It reads them on request, a few at a time, in any
process.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mint_ray.cases.schema import RejectedCase, Split

WHOLE = -1
"""Value of `TileRef.top` and `TileRef.left` for a case that takes its whole image."""


class TileRef(NamedTuple):
    """A case without its pixels, and the position of the pixels in the source.

    Attributes:
        case_id, group_id, label_id, label_name: as in `CASE_SCHEMA`.
        split: None unless the source sets it.
        description: empty unless the source has one.
        file: file, table or fold within the source.
        row: index in a file that holds several images.
        top, left: corner of the square that is cut, in pixels; `WHOLE` for the whole image.
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
        encoded: encoded bytes, as stored in the case.
        image: the same, decoded to RGB.
        mask: (height, width), not zero inside nuclei; None if nuclei are not known.
    """

    encoded: bytes
    image: Image.Image
    mask: NDArray[np.int32] | None = None


class TileSource(Protocol):
    """A source of tiles."""

    @property
    def name(self) -> str:
        """Name of the source in the column `source`."""

    @property
    def reading(self) -> str:
        """One line on how the source was understood, once it is listed; empty without doubt."""

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every tile, or a rejection for each entry that cannot be used as one.

        No more is opened than the list needs.

        Raises:
            DataError: the source cannot be used at all.
        """

    def read_tiles(self, refs: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """Yield each image, or the reason why it cannot be used, in the order given."""
