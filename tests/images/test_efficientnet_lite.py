"""The embedded image encoder."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel

from mint_ray.images.efficientnet_lite import load_efficientnet, to_pixels


@pytest.fixture(scope="module")
def encoder():
    return load_efficientnet()


def test_features_are_a_grid_and_its_mean(encoder):
    pixels = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        output = encoder(pixels)
    assert output.last_hidden_state.shape == (2, 49, 1280)
    torch.testing.assert_close(output.pooler_output, output.last_hidden_state.mean(1))


def test_training_mode_changes_nothing(encoder):
    pixels = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        expected = encoder(pixels).pooler_output
        encoder.train()
        found = encoder(pixels).pooler_output
    encoder.eval()
    torch.testing.assert_close(found, expected)


def test_saved_and_loaded_as_any_transformers_model(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    pixels = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(again(pixels).pooler_output, encoder(pixels).pooler_output)


def test_pixels_are_scaled_about_zero():
    white = Image.fromarray(np.full((30, 50, 3), 255, np.uint8))
    pixels = to_pixels([white])
    assert pixels.shape == (1, 3, 224, 224)
    assert float(pixels.mean()) == pytest.approx(1.0)
