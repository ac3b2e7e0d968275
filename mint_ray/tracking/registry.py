"""MLflow model registry of students: versions, the champion and its predecessors.

A student is a logged model (a folder of files) and a version of a registered model. `champion`
and `challenger` are aliases. The registered model's tag `champions` lists the versions that were
promoted, in order, so that a rollback knows where to go back to.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mint_ray.errors import RegistryError
from mint_ray.tracking.mlflow_store import connect_client, experiment_id, shown_uri

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
KEY = "mint_ray.key"
"""Tag with the key of a student's content, by which its version is found again."""
_HISTORY = "champions"
SCHEME = "models:/"


@dataclass(frozen=True)
class Version:
    """One registered student."""

    name: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created: int
    """Milliseconds of the epoch."""


class Registry:
    """Registry behind a tracking URI, all of whose failures become a RegistryError.

    Args:
        uri: URI of a database or server, as for tracking.
        experiment: name of the experiment that keeps logged models.
    """

    def __init__(self, uri: str, experiment: str = "mint_ray") -> None:
        self.uri, self._experiment = uri, experiment

    @property
    def address(self) -> str:
        """The URI for people; see `shown_uri`."""
        return shown_uri(self.uri)

    def models(self) -> list[str]:
        """Return the names of the registered students."""
        with self._guarded("list models"):
            registered = self._client.search_registered_models(max_results=1000)
            return sorted(model.name for model in registered)

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a student, the newest first; empty if there is none."""
        with self._guarded(f"list {name}"):
            items = self._client.search_model_versions(f"name='{name}'")
            aliases = self._aliases(name) if items else {}
            return [
                Version(
                    name,
                    int(item.version),
                    tuple(sorted(a for a, n in aliases.items() if n == int(item.version))),
                    dict(item.tags),
                    int(item.creation_timestamp),
                )
                for item in sorted(items, key=lambda item: -int(item.version))
            ]

    def champion(self, name: str) -> Version | None:
        """Return the champion, which is served; None if there is none yet."""
        return next((v for v in self.versions(name) if CHAMPION in v.aliases), None)

    def register(
        self, name: str, key: str, folder: Path, files: Sequence[str], tags: Mapping[str, str]
    ) -> Version:
        """Return the version of a student, created now if the registry does not have its key.

        Args:
            name: name of the registered model.
            key: key of the student's content; the same key never gives two versions.
            folder: folder of the student's files.
            files: the files that belong to it, as paths below `folder`.
            tags: lineage of the student.
        """
        known = next((v for v in self.versions(name) if v.tags.get(KEY) == key), None)
        if known is not None:
            return known
        with self._guarded(f"register {key}"):
            model = self._logged(key) or self._log(name, key, folder, files, tags)
            if not self._client.search_registered_models(f"name='{name}'"):
                self._client.create_registered_model(name)
            with _default_store(self.uri):
                created = self._client.create_model_version(
                    name,
                    source=model.artifact_location,
                    model_id=model.model_id,
                    tags={**tags, KEY: key},
                )
        return next(v for v in self.versions(name) if v.number == int(created.version))

    def promote(self, version: Version) -> None:
        """Make a version the champion."""
        past = self._past(version.name)
        with self._guarded(f"promote version {version.number}"):
            # The history comes first: a command that is cut off in between can be repeated.
            if not past or past[-1] != version.number:
                self._write_history(version.name, [*past, version.number])
            self._client.set_registered_model_alias(version.name, CHAMPION, str(version.number))
            if self._aliases(version.name).get(CHALLENGER) == version.number:
                self._client.delete_registered_model_alias(version.name, CHALLENGER)

    def challenge(self, version: Version) -> None:
        """Make a version the challenger."""
        with self._guarded(f"alias version {version.number}"):
            self._client.set_registered_model_alias(version.name, CHALLENGER, str(version.number))

    def tag(self, version: Version, tags: Mapping[str, object]) -> None:
        """Set or replace tags of a version."""
        with self._guarded(f"tag version {version.number}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    version.name, str(version.number), key, str(value)
                )

    def roll_back(self, name: str) -> Version:
        """Make the champion's predecessor the champion again.

        Raises:
            RegistryError: there is no champion, or none before it.
        """
        numbers = {version.number: version for version in self.versions(name)}
        champion = self.champion(name)
        history = [number for number in self._past(name) if number in numbers]
        while champion is not None and history and history[-1] == champion.number:
            history.pop()
        if champion is None or not history:
            raise RegistryError(
                f"{name}: expected a champion that had one before it, found "
                f"{'no champion' if champion is None else f'only version {champion.number}'}; "
                "`mint registry list` shows what there is"
            )
        before = numbers[history[-1]]
        with self._guarded(f"roll back {name}"):
            self._client.set_registered_model_alias(name, CHAMPION, str(before.number))
            self._write_history(name, history)
        return before

    def find(self, uri: str) -> Version:
        """Return the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means now."""
        with self._guarded(f"find {uri}"):
            name, number = self._resolve(uri)
        matches = [version for version in self.versions(name) if version.number == int(number)]
        if not matches:
            raise RegistryError(f"{uri}: no such version; `mint registry list` shows what there is")
        return matches[0]

    def download(self, uri: str, folder: Path) -> Path:
        """Copy the files of `models:/NAME@ALIAS` or `models:/NAME/VERSION`; return their folder."""
        from mlflow.artifacts import download_artifacts

        with self._guarded(f"download {uri}"):
            folder.mkdir(parents=True, exist_ok=True)
            name, number = self._resolve(uri)
            source = self._client.get_model_version_download_uri(name, number)
            path = download_artifacts(source, dst_path=str(folder), tracking_uri=self.uri)
        return Path(path)

    def _resolve(self, uri: str) -> tuple[str, str]:
        """Return name and version number of `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""
        name, at, alias = uri.removeprefix(SCHEME).partition("@")
        if at:
            return name, str(self._client.get_model_version_by_alias(name, alias).version)
        name, slash, number = name.rpartition("/")
        if not (slash and number.isdecimal()):
            raise RegistryError(
                f"{uri}: expected {SCHEME}NAME@{CHAMPION} or {SCHEME}NAME/VERSION; `mint registry "
                "list` shows what there is"
            )
        return name, number

    @cached_property
    def _client(self) -> Any:
        return connect_client(self.uri)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except RegistryError:
            raise
        # Database drivers, HTTP and MLflow raise any error; their messages may hold passwords.
        except Exception as error:
            code = getattr(error, "error_code", "") or type(error).__name__
            raise RegistryError(
                f"could not {what} in the registry {self.address} ({code}); check that the store "
                "exists and can be written, then run the same command again (--tracking, "
                "tracking.uri or MLFLOW_TRACKING_URI name another registry)"
            ) from error

    def _aliases(self, name: str) -> dict[str, int]:
        aliases = self._client.get_registered_model(name).aliases
        return {alias: int(number) for alias, number in aliases.items()}

    def _past(self, name: str) -> list[int]:
        """Return the version numbers of all champions up to the present one, in order.

        Later numbers in the tag are of a promotion that was cut off before the alias was set, or of
        a rollback that was cut off after it was.
        """
        with self._guarded(f"read {name}"):
            model = self._client.get_registered_model(name)
        history = [int(number) for number in model.tags.get(_HISTORY, "").split(",") if number]
        champion = int(model.aliases.get(CHAMPION, 0))
        while champion in history and history[-1] != champion:
            history.pop()
        return history

    def _write_history(self, name: str, history: Sequence[int]) -> None:
        self._client.set_registered_model_tag(name, _HISTORY, ",".join(map(str, history)))

    def _logged(self, key: str) -> Any | None:
        """Return the finished logged model of an earlier attempt; None if there is none."""
        models = self._client.search_logged_models(
            [experiment_id(self._client, self.uri, self._experiment)],
            filter_string=f"tags.`{KEY}` = '{key}'",
        )
        ready = [model for model in models if str(model.status) == "READY"]
        return ready[0] if ready else None

    def _log(
        self,
        name: str,
        key: str,
        folder: Path,
        files: Sequence[str],
        tags: Mapping[str, str],
    ) -> Any:
        model = self._client.create_logged_model(
            experiment_id(self._client, self.uri, self._experiment),
            name=name,
            tags={**tags, KEY: key},
            model_type="student",
        )
        with tempfile.TemporaryDirectory(prefix="mint-register-") as links:
            for file in files:
                link = Path(links) / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((folder / file).resolve())
            self._client.log_model_artifacts(model.model_id, links)
        return self._client.finalize_logged_model(model.model_id, "READY")


@contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """Set MLflow's default store while the body runs.

    A SQL registry looks up logged models there, not in the store of its client.
    """
    import mlflow

    # If nothing was set, it must be unset again. MLflow would keep its own default, a file in the
    # working directory, also in the environment, and all stores of this process would be that file.
    earlier = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(earlier)
