"""The commands behind ``tungo config``."""

import os
from pathlib import Path

from application.runtime.configuration import ConfigurationMissingError
from domain.noise.primitives import Primitives
from infrastructure.cryptography.primitives import PycaPrimitives
from infrastructure.pal.configuration.checking import Checked, check
from infrastructure.pal.configuration.client_store import ClientConfigurationFolder
from infrastructure.pal.configuration.environment import read_overlay
from infrastructure.pal.configuration.files import ConfigurationFolder
from infrastructure.pal.configuration.migration import migrate, plan
from infrastructure.pal.configuration.replacing import backup_of
from presentation.cli.administration import CheckedFile, FileCommands, Migration
from tungo.failures import one_sentence


class ConfigurationFileCommands:
    """Looks at configuration files one by one."""

    def __init__(self) -> None:
        self._primitives: Primitives = PycaPrimitives()

    def check_files(self, config_dir: str, file: Path | None) -> tuple[CheckedFile, ...]:
        """See FileCommands."""
        public_key_of = self._primitives.public_key
        overlay = read_overlay(os.environ, public_key_of)
        with one_sentence():
            return tuple(
                _checked(path, check(path, public_key_of, overlay)) for path in self._files(config_dir, file)
            )

    def migrate_files(self, config_dir: str, file: Path | None, *, dry_run: bool) -> tuple[Migration, ...]:
        """See FileCommands."""
        public_key_of = self._primitives.public_key
        with one_sentence():
            files = self._files(config_dir, file)
            # All of them are looked at before any is changed.
            plans = [plan(path, public_key_of) for path in files]
            if not dry_run:
                plans = [migrate(old.path, public_key_of) if old.changes else old for old in plans]
        return tuple(
            Migration(
                file=str(path),
                changes=planned.changes,
                backup=str(backup_of(planned.path)) if planned.changes and not dry_run else None,
            )
            for path, planned in zip(files, plans, strict=True)
        )

    def _files(self, config_dir: str, file: Path | None) -> list[Path]:
        """What was named, else everything that the programs would read in the folder."""
        if file is not None:
            return [file]
        folder = ConfigurationFolder(Path(config_dir))
        stored = ClientConfigurationFolder(folder.path, self._primitives.public_key)
        usual = (folder.server_file, folder.client_file)
        files = [path for path in usual if os.path.lexists(path)]
        files += (stored.path(name) for name in stored.names())
        if not files:
            raise ConfigurationMissingError(
                f"there is no configuration in {config_dir}; name a file, or a folder with --config-dir."
            )
        return files


def _checked(path: Path, found: Checked) -> CheckedFile:
    role = "unknown" if found.role is None else found.role.value
    return CheckedFile(str(path), role, found.problems, found.remarks)


_: type[FileCommands] = ConfigurationFileCommands
