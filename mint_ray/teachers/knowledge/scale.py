"""Temperatures of matches, fitted on patients with a known answer."""

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.probabilities.temperature import search_temperature

USUAL_TEMPERATURE = 0.2
"""Temperature of a match where no patient tells it."""
LOG_TEMPERATURES = (-5.0, 2.0)
"""Range of a temperature's natural logarithm."""


def fit_temperature(
    scores: Floats | Floats32, answers: Ints, wanted: Bools, usual: float = USUAL_TEMPERATURE
) -> float:
    """Return the temperature of a softmax over some labels that has the least loss.

    Args:
        scores: (n, n_labels) of n patients.
        answers: (n,) catalogue index of each answer, −1 without one.
        wanted: (n_labels,) the labels of the softmax; patients with other answers do not count.
        usual: returned where no patient counts.
    """
    rows = np.flatnonzero((answers >= 0) & wanted[answers])
    if not len(rows):
        return usual
    labels = np.flatnonzero(wanted)
    among = np.asarray(scores[np.ix_(rows, labels)], dtype=np.float64)
    columns = np.searchsorted(labels, answers[rows])

    def loss(temperature: float) -> float:
        chosen = log_softmax(among / temperature, axis=1)[np.arange(len(rows)), columns]
        return -float(chosen.mean())

    return search_temperature(loss, LOG_TEMPERATURES)
