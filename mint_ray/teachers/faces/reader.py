"""Convolutional reader of facial findings, and its readings of many faces."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from mint_ray.common.arrays import Bytes
from mint_ray.images.faces.findings import FACE_FINDINGS

FINDINGS = tuple(FACE_FINDINGS)
"""HP ids of the findings that the reader tells, in the order of its output."""
FACE_WIDTH = 64
"""Number of features of a face."""
FACES_AT_ONCE = 256
"""Faces per forward pass."""


class FaceReader(nn.Module):
    """A small convolutional encoder from (n, 3, 112, 112) pixels to findings and features.

    It is fitted before a teacher, to the findings that a face is known to show and to the
    diagnosis, and is frozen after that.
    """

    def __init__(self, n_findings: int) -> None:
        super().__init__()
        widths = (3, 12, 24, 48, 64)
        blocks = [_block(a, b, 5 if a == 3 else 3) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.2))
        self.neck = nn.Linear(widths[-1] * 7 * 7, 192)
        self.findings = nn.Linear(192, n_findings)
        self.features = nn.Linear(192, FACE_WIDTH)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of the findings (n, n_findings), and features (n, FACE_WIDTH)."""
        hidden = F.relu(self.neck(self.body((pixels.float() / 255 - 0.5) * 2)))
        return self.findings(hidden), torch.tanh(self.features(hidden))


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def read_faces(reader: FaceReader, pixels: Bytes) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the findings and features of m faces.

    Args:
        reader: in evaluation mode, on any device.
        pixels: (m, 3, 112, 112).

    Returns:
        Probabilities of the findings (m, n_findings), and features (m, FACE_WIDTH), on the CPU.
    """
    device = reader.neck.weight.device
    findings = [torch.zeros(0, len(FINDINGS))]
    features = [torch.zeros(0, FACE_WIDTH)]
    with torch.inference_mode():
        for start in range(0, len(pixels), FACES_AT_ONCE):
            faces = torch.from_numpy(pixels[start : start + FACES_AT_ONCE]).to(device)
            logits, part = reader(faces)
            findings.append(torch.sigmoid(logits).cpu())
            features.append(part.cpu())
    return torch.cat(findings), torch.cat(features)
