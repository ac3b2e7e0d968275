"""Reader of the lines that another process appends to a file."""

from pathlib import Path


class FileTail:
    """A reader of new lines of a file, which returns each line once.

    A line that its writer has not ended yet is returned by a later call.

    Args:
        file: the file, which need not exist yet.
        from_end: whether to skip the lines that the file holds already.
    """

    def __init__(self, file: Path, from_end: bool = False) -> None:
        self._file = file
        self._offset = file.stat().st_size if from_end and file.exists() else 0

    def read(self) -> list[bytes]:
        """Return the lines since the last call, without newlines."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            whole = stream.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._offset += len(whole) + 1
        return whole.split(b"\n")
