"""The MLflow model registry: which student is the champion, and which were before.

A student is a logged model (a folder of files) and a version of a registered model. `champion`
and `challenger` are aliases. The registered model's tag `champions` lists the versions that were
promoted, in order, so that a rollback knows where to go back to.
"""

import logging
import os
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
"""Tag with the folder name of the calibrate step, by which a student is found again."""
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
    """A registry behind a tracking URI. Whatever fails there becomes a RegistryError.

    Args:
        uri: database or server, as for tracking.
        experiment: where logged models are kept.
    """

    def __init__(self, uri: str, experiment: str = "mint_ray") -> None:
        self.uri, self._experiment = uri, experiment

    @property
    def address(self) -> str:
        """The URI for people; see `shown_uri`."""
        return shown_uri(self.uri)

    def models(self) -> list[str]:
        """Names of the registered students."""
        with self._guarded("list models"):
            found = self._client.search_registered_models(max_results=1000)
            return sorted(model.name for model in found)

    def versions(self, name: str) -> list[Version]:
        """All versions of a student, the newest first; empty where there is none."""
        with self._guarded(f"list {name}"):
            found = self._client.search_model_versions(f"name='{name}'")
            aliases = self._aliases(name) if found else {}
            return [
                Version(
                    name,
                    int(item.version),
                    tuple(sorted(a for a, n in aliases.items() if n == int(item.version))),
                    dict(item.tags),
                    int(item.creation_timestamp),
                )
                for item in sorted(found, key=lambda item: -int(item.version))
            ]

    def champion(self, name: str) -> Version | None:
        """The version that is served, None where there is none yet."""
        return next((v for v in self.versions(name) if CHAMPION in v.aliases), None)

    def register(
        self, name: str, key: str, folder: Path, files: Sequence[str], tags: Mapping[str, str]
    ) -> Version:
        """The version of a student, made now where there is none; the same key never gives two.

        Args:
            key: names the student's content.
            folder: where its files are.
            files: names of those that belong to it.
            tags: what it was made from.
        """
        found = next((v for v in self.versions(name) if v.tags.get(KEY) == key), None)
        if found is not None:
            return found
        with self._guarded(f"register {key}"):
            model = self._logged(key) or self._log(name, key, folder, files, tags)
            if not self._client.search_registered_models(f"name='{name}'"):
                self._client.create_registered_model(name)
            with _default_store(self.uri):
                made = self._client.create_model_version(
                    name,
                    source=model.artifact_location,
                    model_id=model.model_id,
                    tags={**tags, KEY: key},
                )
        return next(v for v in self.versions(name) if v.number == int(made.version))

    def promote(self, version: Version) -> None:
        """Make a version the champion."""
        past = self._past(version.name)
        with self._guarded(f"promote version {version.number}"):
            # The history first: whoever is cut off in between does the same again.
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
            RegistryError: there is none.
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
        """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means now."""
        with self._guarded(f"find {uri}"):
            name, number = self._resolve(uri)
        found = [version for version in self.versions(name) if version.number == int(number)]
        if not found:
            raise RegistryError(f"{uri}: no such version; `mint registry list` shows what there is")
        return found[0]

    def download(self, uri: str, folder: Path) -> Path:
        """Copy the files of `models:/NAME@ALIAS` or `models:/NAME/VERSION`; where they are."""
        from mlflow.artifacts import download_artifacts

        with self._guarded(f"download {uri}"):
            folder.mkdir(parents=True, exist_ok=True)
            name, number = self._resolve(uri)
            source = self._client.get_model_version_download_uri(name, number)
            found = download_artifacts(source, dst_path=str(folder), tracking_uri=self.uri)
        return Path(found)

    def _resolve(self, uri: str) -> tuple[str, str]:
        """Name and version of `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""
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
        # Database drivers, HTTP and MLflow raise what they like; their messages may hold values.
        except Exception as error:
            code = getattr(error, "error_code", "") or type(error).__name__
            raise RegistryError(
                f"could not {what} in the registry {self.address} ({code}); see that the store is "
                "there and can be written, then give the same command again (--tracking, "
                "tracking.uri or MLFLOW_TRACKING_URI name another registry)"
            ) from error

    def _aliases(self, name: str) -> dict[str, int]:
        found = self._client.get_registered_model(name).aliases
        return {alias: int(number) for alias, number in found.items()}

    def _past(self, name: str) -> list[int]:
        """The champions up to the present one. What comes behind it in the tag is of a promotion
        that was cut off before it counted, or of a rollback that was cut off after."""
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
        """The finished logged model of an earlier attempt."""
        found = self._client.search_logged_models(
            [experiment_id(self._client, self.uri, self._experiment)],
            filter_string=f"tags.`{KEY}` = '{key}'",
        )
        ready = [model for model in found if str(model.status) == "READY"]
        return ready[0] if ready else None

    def _log(
        self,
        name: str,
        key: str,
        folder: Path,
        files: Sequence[str],
        tags: Mapping[str, str],
    ) -> Any:
        made = self._client.create_logged_model(
            experiment_id(self._client, self.uri, self._experiment),
            name=name,
            tags={**tags, KEY: key},
            model_type="student",
        )
        with tempfile.TemporaryDirectory(prefix="mint-register-") as chosen:
            for file in files:
                os.symlink((folder / file).resolve(), Path(chosen) / file)
            self._client.log_model_artifacts(made.model_id, chosen)
        return self._client.finalize_logged_model(made.model_id, "READY")


@contextmanager
def _default_store(uri: str) -> Iterator[None]:
    """Where a SQL registry looks a logged model up: MLflow's default store, not the client's."""
    import mlflow

    # Where nothing is set it must be so again: MLflow would keep its own default, a file in the
    # working directory, in the environment too, and every store of this process would be that.
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
