"""Settings of a comparison: named systems, their overrides, and the reference among them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from mint_ray.config.base import Section
from mint_ray.config.former_names import FORMER_NAMES

OVERRIDDEN = ("student", "training", "preferences", "teacher", "evaluation")
"""Sections whose settings a system may override."""
SAME_FOR_ALL = (
    "evaluation.max_cases",
    "evaluation.max_cases_per_group",
    "evaluation.top_k",
    "evaluation.generate_cases",
)
"""Settings that decide which cases are ranked and how long lists are."""

Setting = bool | int | float | str | None | tuple[bool | int | float | str, ...]


def _dotted(overrides: Any) -> Any:
    """Flatten nested sections to dotted names, so that both ways to write them mean the same.

    `compare.systems.dpo.overrides.training.dpo_beta=0.2` on the command line arrives nested.
    Former names of settings become today's names.
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
    """One compared system, by its name: `compare.systems: {NAME: {overrides: ...}}`."""

    overrides: Annotated[dict[str, Setting], BeforeValidator(_dotted)] = Field({})
    """Settings that differ from those of the config, by dotted name, in `student`, `training`,
    `preferences`, `teacher` and `evaluation`. Its evaluation ranks the trained student, under the
    name of the system. With `evaluation.systems` it ranks those systems, under their own names."""
    start_from: str | None = None
    """Name of the system whose finished student this training continues from. Empty to start from
    the base model, or from `student.init_adapter`."""

    @model_validator(mode="after")
    def _overridable(self) -> "SystemConfig":
        for name in self.overrides:
            section, _, leaf = name.partition(".")
            if section not in OVERRIDDEN or not leaf:
                raise ValueError(
                    f"overrides: {name} is the same for all systems; expected settings of "
                    f"{', '.join(OVERRIDDEN)}"
                )
            if name in SAME_FOR_ALL:
                raise ValueError(
                    f"overrides: {name} is the same for all systems, which rank the same cases; "
                    "set it for the whole config"
                )
            if name == "student.init_adapter" and self.start_from is not None:
                raise ValueError(
                    "overrides: expected student.init_adapter or start_from, found both"
                )
        return self


class CompareConfig(Section):
    """A comparison of systems on the same held-out cases (`mint compare`)."""

    systems: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")], SystemConfig] = Field({})
    """Compared systems by name, in small letters, digits and underscores."""
    reference: str = "orpo"
    """System that the others are held against in paired differences."""

    @model_validator(mode="after")
    def _starts_exist(self) -> "CompareConfig":
        for name, system in self.systems.items():
            if system.start_from is not None and system.start_from not in self.systems:
                raise ValueError(
                    f"compare.systems.{name}.start_from: expected one of "
                    f"{', '.join(self.systems)} (found {system.start_from!r})"
                )
        self.in_order()
        return self

    def in_order(self) -> list[str]:
        """Return the names of the systems, each after the one that it starts from.

        Raises:
            ValueError: systems start from one another in a circle.
        """
        ordered: dict[str, None] = {}
        for name in self.systems:
            chain = [name]
            while (start := self.systems[chain[-1]].start_from) is not None:
                if start in chain:
                    raise ValueError(
                        "compare.systems: expected trainings that begin somewhere, found the "
                        f"circle {' from '.join([*chain, start])} (start_from)"
                    )
                chain.append(start)
            ordered |= dict.fromkeys(reversed(chain))
        return list(ordered)
