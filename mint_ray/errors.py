"""Error tree of the package.

MintError
├── ConfigError      a setting is wrong; raised before any work starts
├── DataError        input rows or files cannot be used; carries counts by reason
├── TeacherError     a teacher cannot be built, loaded or used
├── TrainingError    a training run cannot start or must stop
├── RegistryError    a model or run cannot be found or recorded
└── ServingError     a student cannot be loaded or used

All of these errors are meant for the user: the message says what was expected, what was
found and what to do. A programmer's mistake is an ordinary Python exception.
"""

from collections.abc import Mapping


class MintError(Exception):
    """Base class of all errors that are meant for the user."""


def to_plain(error: MintError) -> dict[str, str]:
    """Return an error as plain JSON, by which it leaves a process that Ray would start again."""
    return {"kind": type(error).__name__, "message": str(error)}


def of_plain(content: Mapping[str, str]) -> MintError:
    """Make the error that gave this `content`."""
    error: MintError = globals()[content["kind"]](content["message"])
    return error


class ConfigError(MintError):
    """A setting is missing, unknown or out of range."""


class DataError(MintError):
    """Input rows or files cannot be used.

    `counts` maps a reason to the number of rows it applies to. It is empty if the whole
    file is at fault.
    """

    def __init__(self, message: str, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.counts: dict[str, int] = dict(counts or {})


class TeacherError(MintError):
    """A teacher cannot be built, loaded or used."""


class TrainingError(MintError):
    """A training run cannot start or must stop."""


class RegistryError(MintError):
    """A model or a run cannot be found or recorded."""


class ServingError(MintError):
    """A student cannot be loaded or used."""
