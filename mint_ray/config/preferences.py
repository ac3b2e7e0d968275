"""Settings of the preference pairs."""

from typing import Literal

from pydantic import Field

from mint_ray.config.base import Fraction, Section


class PreferencesConfig(Section):
    """Selection of chosen and rejected answers from ranked labels."""

    chosen_size: int = Field(10, ge=1)
    """Number of names in the chosen answer."""
    chosen: Literal["best", "drawn"] = "best"
    """Names of the chosen answer: the teacher's best ones (`best`), or names that are drawn without
    replacement from its probabilities, in the order of the draw (`drawn`). The draw depends on the
    case's id alone."""
    rejected_size: int = Field(10, ge=1)
    """Number of names in the rejected answer of each set."""
    rejected: Literal["worst", "hard", "mixed"] = "worst"
    """Names of the rejected answer: the teacher's worst ones (`worst`); near mistakes (`hard`),
    which are its next ranks below the chosen ones and, in at most half of the places, names that
    differ from a chosen one in their last number or letter; or half of each (`mixed`)."""
    rejected_sets: int = Field(1, ge=1)
    """Number of pairs per case. They share the chosen answer; pair number n rejects the n-th set of
    `rejected_size` of the labels that `rejected` says."""
    order: Literal["worst_last", "worst_first", "shuffled"] = "worst_first"
    """Order of the rejected names: by the teacher's ranking, or shuffled."""
    gold: Literal["keep", "first", "none"] = "keep"
    """Place of the known answer in `chosen`: `keep` leaves it where the teacher ranked it, `first`
    puts it at the top, `none` removes it. It is always removed from `rejected`, which leaves the
    last set one name short if the catalogue has no further label."""
    candidates_include_gold: bool = True
    """Add the known answer to `candidates` if neither list names it."""
    min_confidence: Fraction = Field(0.0, ge=0, le=1)
    """Smallest teacher probability of a case's best label. A case below it gives no pair."""
    max_per_group: int | None = Field(None, ge=1)
    """Largest number of training cases of a group with the same known answer that give pairs, drawn
    with the run's seed; empty for all. Large publications of one disease then have no larger share
    of the training than of an evaluation. Cases that are left out are counted as
    `above_group_limit`."""
    batch_size: int = Field(128, ge=1)
    """Number of cases per call of the teacher. An interrupted run continues with the batches that
    it has not written."""
