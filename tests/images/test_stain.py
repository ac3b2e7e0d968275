import io

import numpy as np
import pytest
from PIL import Image

from mint_ray.images.stain import restain, shift_encoded, shift_stain


def tile(seed: int = 0) -> Image.Image:
    """Something violet and pink."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal((190, 140, 190), 30, size=(40, 48, 3)).clip(1, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def test_a_shift_keeps_the_size_and_changes_the_colours() -> None:
    image = tile()
    shifted = shift_stain(image, np.random.default_rng(1))
    assert (shifted.size, shifted.mode) == (image.size, "RGB")
    change = np.abs(np.asarray(shifted, dtype=int) - np.asarray(image, dtype=int))
    assert 2 < change.mean() < 80
    again = shift_stain(image, np.random.default_rng(1))
    assert again.tobytes() == shifted.tobytes()
    assert shift_stain(image, np.random.default_rng(2)).tobytes() != shifted.tobytes()


def test_every_draw_shifts() -> None:
    image = tile()
    for seed in range(30):
        shifted = shift_stain(image, np.random.default_rng(seed))
        change = np.abs(np.asarray(shifted, dtype=int) - np.asarray(image, dtype=int))
        assert change.mean() > 1, seed


@pytest.mark.parametrize("colour", ["white", "black", "red", (0, 255, 0), (1, 2, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_no_colour_fails(colour: str | tuple[int, int, int], seed: int) -> None:
    with np.errstate(all="raise"):
        shifted = shift_stain(Image.new("RGB", (16, 20), colour), np.random.default_rng(seed))
    assert shifted.size == (16, 20)


def test_no_shift_gives_the_image_back() -> None:
    image = tile()
    same = restain(image, np.ones(3), np.zeros(3))
    np.testing.assert_array_equal(np.asarray(same), np.asarray(image))


def test_more_stain_is_darker() -> None:
    image = tile()
    darker = restain(image, np.full(3, 1.3), np.zeros(3))
    assert np.asarray(darker).mean() < np.asarray(image).mean()


def test_encoded_images_come_back_encoded_and_damaged_ones_as_they_are() -> None:
    buffer = io.BytesIO()
    tile().save(buffer, "PNG")
    shifted = shift_encoded(buffer.getvalue(), np.random.default_rng(0))
    assert shifted is not None
    assert Image.open(io.BytesIO(shifted)).size == tile().size
    assert shift_encoded(b"no image", np.random.default_rng(0)) == b"no image"
    assert shift_encoded(None, np.random.default_rng(0)) is None
