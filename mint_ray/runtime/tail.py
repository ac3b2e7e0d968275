"""The lines that another process has appended to a file since one last looked."""

from pathlib import Path


class FileTail:
    """Whole lines only; what a writer has not ended yet is read the next time.

    Args:
        file: need not exist yet.
        from_end: leave out what it holds already.
    """

    def __init__(self, file: Path, from_end: bool = False) -> None:
        self._file = file
        self._offset = file.stat().st_size if from_end and file.exists() else 0

    def read(self) -> list[bytes]:
        """New lines, without their ends."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            whole = stream.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._offset += len(whole) + 1
        return whole.split(b"\n")
