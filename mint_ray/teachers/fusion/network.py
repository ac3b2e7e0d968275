"""Network of the fusion teacher, from face and terms to labels."""

import torch
from torch import nn
from torch.nn import functional as F

from mint_ray.teachers.faces.reader import FACE_WIDTH
from mint_ray.teachers.fusion.term_features import SEX_STATES, Features

MATCH_WEIGHT = 0.04
"""Weight of the profile match in the logits.

The match covers every annotated disease; the network has learned from patients. At this weight
the match lifts diseases without a training patient and costs the others nothing. The weight of a
log-likelihood would be 1, but naive Bayes takes related findings for independent ones and is far
too sure.
"""


class FusionNetwork(nn.Module):
    """Network from terms with their ancestors, excluded terms, sex and face to all labels.

    h = dropout(relu(norm(E·observed + X·excluded + S[sex] + R·findings + V·face))),
    logits = W·h + b + 0.04·match.
    So a finding read from the face counts like a term, weighted by its probability.
    """

    def __init__(
        self, n_terms: int, n_findings: int, n_labels: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.observed = nn.EmbeddingBag(n_terms, hidden, mode="sum")
        self.excluded = nn.EmbeddingBag(n_terms, hidden, mode="sum")
        self.sex = nn.Embedding(len(SEX_STATES), hidden)
        self.findings = nn.Linear(n_findings, hidden, bias=False)
        self.face = nn.Linear(FACE_WIDTH, hidden, bias=False)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, n_labels)
        nn.init.normal_(self.observed.weight, std=0.5)
        nn.init.normal_(self.excluded.weight, std=0.1)
        nn.init.normal_(self.sex.weight, std=0.05)
        nn.init.normal_(self.findings.weight, std=0.2)
        nn.init.normal_(self.face.weight, std=0.02)
        nn.init.normal_(self.output.weight, std=0.02)

    def forward(self, batch: Features) -> torch.Tensor:
        """Return the logits, (n, n_labels) float32."""
        hidden = self.observed(
            batch.observed.indices, batch.observed.offsets, batch.observed.weights
        ) + self.excluded(batch.excluded.indices, batch.excluded.offsets, batch.excluded.weights)
        hidden = hidden + self.sex(batch.sex)
        hidden = hidden + batch.has_face * (self.findings(batch.findings) + self.face(batch.face))
        logits: torch.Tensor = self.output(self.dropout(F.relu(self.norm(hidden))))
        return logits + MATCH_WEIGHT * batch.match
