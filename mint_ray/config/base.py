"""What all sections of the configuration share."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

Fraction = float


def _word(value: Any) -> Any:
    """YAML 1.1 reads `on` and `off` as booleans; take them as the words they were."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Word = BeforeValidator(_word)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )
