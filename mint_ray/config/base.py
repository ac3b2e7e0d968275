"""Base class and shared types of the configuration's sections."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

Fraction = float


def _word(value: Any) -> Any:
    """Return `on` or `off` for a boolean: YAML 1.1 reads these words as booleans."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Word = BeforeValidator(_word)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )
