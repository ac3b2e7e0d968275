"""Settings of an evaluation, and of a comparison: named systems and the reference among them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from mint_ray.config.base import Section
from mint_ray.config.former_names import FORMER_NAMES

CASES_PER_GROUP = 10
"""Cases of a publication or family that are ranked by default.

Of the 8,817 published patients, 62 % stay, and 12 % of the 1,466 groups are cut. Over ten random
splits the share of test cases without a training patient of their disease runs from 39 to 51 %
instead of 40 to 69 %.
"""

OVERRIDDEN = ("student", "training", "preferences", "teacher", "evaluation")
"""Sections whose settings a compared system may override."""
ASKED = ("reasoning", "retrieval")
"""Sections whose settings a system may override that is asked; see `SystemConfig`."""
SAME_FOR_ALL = (
    "evaluation.max_cases",
    "evaluation.max_cases_per_group",
    "evaluation.top_k",
    "evaluation.generate_cases",
)
"""Settings that decide which cases are answered and how long lists are; see `SystemConfig`."""

Setting = bool | int | float | str | None | tuple[bool | int | float | str, ...]


class SamplingConfig(Section):
    """Draw of the tokens of a freely generated answer; what is empty is the paper's."""

    temperature: float | None = Field(None, gt=0)
    """Divisor of the scores of the tokens. Empty for 0.8 with notes and 0.7 with images."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Least probability that the likeliest tokens, which are drawn from, have together. Empty for
    0.8 with notes and 0.6 with images."""
    top_k: int | None = Field(None, ge=1)
    """Largest number of tokens that one is drawn from. Empty for 10."""


class EvaluationConfig(Section):
    """Compared systems, tested cases and measures."""

    systems: tuple[
        Literal[
            "majority",
            "neighbours",
            "knowledge",
            "stacked",
            "base",
            "larger",
            "student",
            "fused",
            "teacher",
        ],
        ...,
    ] = ("majority", "base", "student", "teacher")
    """Systems to compare. The `student` is listed by its training: `orpo`, `dpo`, `orpo_cft`, ...
    `neighbours`, `knowledge` and `stacked` are fitted within minutes: the most similar training
    patients, the annotations of the diseases, and trees over both. They read the terms of patients.
    `larger` is the model of `larger_model`, untrained as `base` is; it is asked for `top_k` names.
    `fused` joins the student with the look-ups of `fused_look_ups`, which here read the findings of
    the same note and nothing else."""
    larger_model: str | None = None
    """Model of the system `larger`: the folder of a model, or a Hugging Face name. Empty without
    that system. `scripts/larger_model.py` makes a folder."""
    fused_look_ups: tuple[Literal["knowledge", "neighbours", "stacked"], ...] = Field(
        ("knowledge",), min_length=1
    )
    """Look-ups that `fused` pools with the student; `stacked` knows what both others know."""
    fused_cases: int = Field(300, ge=1)
    """Largest number of validation cases that the student ranks to fit the weights of `fused`."""
    top_k: int = Field(10, ge=1)
    """Number of distinct names in a ranking."""
    search: Literal["auto", "exhaustive", "beam"] = "auto"
    """Search of the name trie: `exhaustive` scores every name, `beam` only the most likely ones.
    `auto` is exhaustive up to 2,000 tokens in the trie, else a beam search."""
    beam_width: int = Field(16, ge=1)
    """Number of beams of the `beam` search."""
    controls: bool = True
    """Rank stain-shifted test images and images shuffled between cases too, and fit a
    classifier on mean colours alone. Only for students of images."""
    max_cases: int | None = Field(None, ge=1)
    """Largest number of test cases, drawn from random groups with the run's seed so that the shares
    of seen and unseen labels stay. All systems are compared on the same cases. Empty for all test
    cases."""
    max_cases_per_group: int | Literal["auto"] | None = "auto"
    """Largest number of cases of a group that are ranked, drawn with the run's seed. `auto` is 10
    for patients, so that no publication rules a figure, and all for images, where a patient's tiles
    vote. Empty for all. It also holds for the validation cases of `calibrate` and `tune`."""
    generate_cases: int = Field(0, ge=0)
    """Number of test cases for which the language models also write a list freely, whose names are
    then looked up in the catalogue."""
    max_new_tokens: int = Field(160, ge=8)
    """Largest length of a freely generated answer, in tokens. The paper has 512 with notes and 100
    with images."""
    decoding: Literal["greedy", "sampled"] = "greedy"
    """Choice of the tokens of a freely generated answer: the likeliest one, or one that is drawn as
    `sampling` says, with a seed from the run's seed and the case."""
    sampling: SamplingConfig = SamplingConfig()
    bootstrap_samples: int = Field(1000, ge=100)
    """Number of bootstrap resamples of groups for the 95 % intervals."""
    calibration_bins: int = Field(10, ge=2)
    """Number of confidence bins of the expected calibration error (ECE): of equal width, and of
    equal mass for `ece_mass`."""

    @model_validator(mode="after")
    def _larger_is_named(self) -> "EvaluationConfig":
        if "larger" in self.systems and not self.larger_model:
            raise ValueError(
                "systems: expected larger_model, the folder or name of a model, for the system "
                "`larger`, found none"
            )
        return self

    @field_validator("fused_look_ups")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"expected each look-up once, found {', '.join(names)}")
        return names

    @field_validator("max_cases_per_group")
    @classmethod
    def _at_least_one(cls, limit: int | str | None) -> int | str | None:
        if isinstance(limit, int) and limit < 1:
            raise ValueError(f"expected at least 1, auto or null, found {limit}")
        return limit

    def group_limit(self, task: Literal["disease", "gene", "own", "tissue"]) -> int | None:
        """Return the largest number of cases of a group with a task; None for all."""
        if self.max_cases_per_group != "auto":
            return self.max_cases_per_group
        return None if task == "tissue" else CASES_PER_GROUP


def _dotted(overrides: Any) -> Any:
    """Flatten nested sections to dotted names, and give settings today's names.

    `compare.systems.dpo.overrides.training.dpo_beta=0.2` on the command line arrives nested.
    """
    if not isinstance(overrides, Mapping):
        return overrides
    return {FORMER_NAMES.get(name, name): value for name, value in _leaves("", overrides)}


def _leaves(prefix: str, tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


class SystemConfig(Section):
    """One compared system, by its name: `compare.systems: {NAME: {overrides: ...}}`.

    By default its evaluation ranks the trained student alone, under the name of the system. With
    `evaluation.systems` among the overrides it ranks those systems: a single one under the name of
    the system, several under their own names, the trained student under that of the system.

    With `reasoning.protocol` among the overrides nothing is trained: a chat model is asked, or
    documents alone are searched, about the same test cases (step `reason`).
    """

    overrides: Annotated[dict[str, Setting], BeforeValidator(_dotted)] = Field({})
    """Settings that differ from those of the config, by dotted name, in `student`, `training`,
    `preferences`, `teacher` and `evaluation`; or in `reasoning` and `retrieval` alone, with
    `reasoning.protocol` among them, for a system that is asked."""
    start_from: str | None = None
    """Name of the system whose finished student this training continues from. Empty to start from
    the base model, or from the config's `student.init_adapter`."""
    compared: bool = True
    """Evaluate and compare the system. Switch off for a student that others only start from."""

    @property
    def asked(self) -> bool:
        """Return whether the system answers by the step `reason` and not by `evaluate`."""
        return "reasoning.protocol" in self.overrides

    @model_validator(mode="after")
    def _overridable(self) -> "SystemConfig":
        for name in self.overrides:
            section, _, leaf = name.partition(".")
            if section not in OVERRIDDEN + ASKED or not leaf or name in SAME_FOR_ALL:
                raise ValueError(
                    f"overrides: {name} is the same for all systems, which rank the same cases; "
                    f"expected other settings, of {', '.join(OVERRIDDEN)}"
                )
            if name == "student.init_adapter":
                raise ValueError(f"overrides: expected start_from instead of {name}")
            if (section in ASKED) is not self.asked:
                raise ValueError(
                    f"overrides: {name} is of a system that is "
                    f"{'trained' if self.asked else 'asked'}: expected either reasoning.protocol "
                    f"with settings of {' and '.join(ASKED)}, or settings of the others"
                )
        if self.asked and (self.start_from is not None or not self.compared):
            raise ValueError(
                "expected neither start_from nor compared: false for a system with "
                "reasoning.protocol, which has no training"
            )
        return self


def _crossover(weights: Any) -> Any:
    """Return the weights of a crossover that is given as a list of four different systems."""
    if not isinstance(weights, list | tuple):
        return weights
    if len(weights) != 4 or len(set(weights)) != 4:
        raise ValueError(
            f"expected four different systems, found {', '.join(map(str, weights)) or 'none'}"
        )
    return dict(zip(weights, (1.0, -1.0, -1.0, 1.0), strict=True))


def _balanced(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    if len(weights) < 2 or 0 in weights.values() or abs(total) > 1e-9:
        raise ValueError(
            f"expected two systems or more, whose weights are not 0 and sum to 0; found {weights}"
        )
    return weights


Weights = Annotated[dict[str, float], BeforeValidator(_crossover), AfterValidator(_balanced)]
"""Weights of the systems of a contrast."""


class CompareConfig(Section):
    """A comparison of systems on the same held-out cases (`mint compare`)."""

    systems: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], SystemConfig] = Field({})
    """Compared systems by name, in small letters, digits and underscores."""
    reference: str = "orpo"
    """System that the others are held against in paired differences."""
    contrasts: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Weights] = Field({})
    """Weighted sums of systems' figures by name, with paired intervals: weights by system, which
    sum to 0. `{a: 0.5, a_2: 0.5, b: -1}` is the mean of two systems less a third. A list
    `[a, b, c, d]` is the crossover (a − b) − (c − d)."""

    @model_validator(mode="after")
    def _starts_lead_to_an_end(self) -> "CompareConfig":
        for name in self.systems:
            chain = [name]
            while (start := self.systems[chain[-1]].start_from) is not None:
                if start not in self.systems:
                    raise ValueError(
                        f"compare.systems.{chain[-1]}.start_from: expected one of "
                        f"{', '.join(self.systems)} (found {start!r})"
                    )
                if self.systems[start].asked:
                    raise ValueError(
                        f"compare.systems.{chain[-1]}.start_from: expected a system with a "
                        f"training, found {start}, which is asked"
                    )
                if start in chain:
                    raise ValueError(
                        "compare.systems: expected trainings that begin somewhere, found the "
                        f"circle {' from '.join([*chain, start])} (start_from)"
                    )
                chain.append(start)
        return self
