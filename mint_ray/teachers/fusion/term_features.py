"""Features of HPO terms for the fusion network: weighted closures as flat index lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mint_ray.cases.schema import SEXES
from mint_ray.knowledge.annotations import Annotation
from mint_ray.teachers.term_encoder import TermEncoder

SEX_STATES = (*SEXES, "unknown")


@dataclass(frozen=True)
class Bags:
    """A batch of n bags of terms in the form of `torch.nn.EmbeddingBag`."""

    indices: torch.Tensor
    """(total,) term indices, int64."""
    offsets: torch.Tensor
    """(n,) position in `indices` at which each bag starts."""
    weights: torch.Tensor
    """(total,) float32; the weights of each bag have Euclidean length one."""

    def to(self, device: torch.device) -> "Bags":
        """Return the bags on a device."""
        return Bags(*(tensor.to(device) for tensor in vars(self).values()))


@dataclass(frozen=True)
class Features:
    """A batch of n patients."""

    observed: Bags
    excluded: Bags
    sex: torch.Tensor
    """(n,) position in `SEX_STATES`."""
    findings: torch.Tensor
    """(n, n_findings) probability that the face shows each finding; 0 without a face."""
    face: torch.Tensor
    """(n, width) features of the face; 0 without a face."""
    has_face: torch.Tensor
    """(n, 1) 1 where there is a face, else 0."""
    match: torch.Tensor
    """(n, n_labels) how well the findings fit each label's profile; see `ProfileMatch`."""

    def to(self, device: torch.device) -> "Features":
        """Return the features on a device."""
        return Features(**{name: part.to(device) for name, part in vars(self).items()})


def pack(bags: Sequence[NDArray[np.int64]], weights: NDArray[np.float32]) -> Bags:
    """Flatten n lists of term indices.

    Args:
        bags: term indices of each bag.
        weights: (n_terms,) of the terms; scaled to Euclidean length one in each bag.
    """
    sizes = np.array([len(bag) for bag in bags], dtype=np.int64)
    flat = np.concatenate([*bags, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    flat_weights = weights[flat]
    bag = np.repeat(np.arange(len(bags)), sizes)
    length = np.sqrt(np.bincount(bag, flat_weights**2, minlength=len(bags))) + 1e-6
    return Bags(
        torch.from_numpy(flat),
        torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)),
        torch.from_numpy((flat_weights / length[bag]).astype(np.float32)),
    )


def smoothed_information_content(
    profiles: Sequence[Sequence[Annotation]], encoder: TermEncoder, n_terms: int
) -> NDArray[np.float32]:
    """Return the information content (n_terms,) of each term, in nats.

    IC = −ln((1 + labels that have the term or one below it) / (1 + labels)). Source: Resnik, IJCAI
    1995, with add-one smoothing, which gives a term of no label a weight. Explanations count all
    annotated diseases instead: `knowledge.evidence.information_content`.
    """
    counts = np.zeros(n_terms)
    for profile in profiles:
        counts[encoder.closure(a.term for a in profile if not a.excluded)] += 1
    content: NDArray[np.float32] = -np.log((1 + counts) / (1 + len(profiles)))
    return content.astype(np.float32)


def sex_index(sex: str | None) -> int:
    """Return the position in `SEX_STATES`; anything else counts as `unknown`."""
    return SEX_STATES.index(sex) if sex in SEX_STATES else SEX_STATES.index("unknown")
