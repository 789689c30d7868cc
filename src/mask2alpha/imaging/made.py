"""A record of what made each output, so that a result of other inputs or options is never taken for an up-to-date one.

The record of a folder is a hidden file in it, one line of JSON per output that was written; the last one counts.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mask2alpha.errors import InputError

NAME = ".mask2alpha.jsonl"


class MadeFiles:
    """The record of one folder."""

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Read the record, if there is one; damaged lines (of a process that was killed) are ignored.

        Args:
            folder: Holds the outputs, itself or in folders below it.
            options: What all outputs of this run depend on beside their inputs; anything that JSON can say.
        """
        self.folder = folder
        self.options = options
        self._digests: dict[Path, str] = {}
        self._made: dict[str, tuple[str, str]] = {}
        try:
            lines = (folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            lines = []
        for line in lines:
            try:
                name, recipe, content = json.loads(line)
            except ValueError:
                continue
            self._made[name] = recipe, content

    def is_wanted(self, path: Path, **parts: Path | str) -> bool:
        """Whether an output is missing, or was made by us from other inputs or options.

        Args:
            path: The output.
            parts: What it is made of: input files, and texts such as its kind.

        Raises:
            InputError: The file was not written by us, or was changed since, and these inputs and options did not make
                it.
        """
        if not path.exists():
            return True
        recipe, content = self._made.get(self._name(path), ("", ""))
        if recipe == self._recipe(parts):
            return False
        if content != digest(path):
            raise InputError(f"{path} exists and was not made from these inputs and options; --overwrite replaces it")
        return True

    def add(self, path: Path, **parts: Path | str) -> None:
        """Record an output that was just written; see `is_wanted`.

        Raises:
            OSError: The record cannot be written.
        """
        entry = self._recipe(parts), digest(path)
        self._made[self._name(path)] = entry
        with (self.folder / NAME).open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps([self._name(path), *entry]))  # a line cut off by a kill spoils no other

    def _recipe(self, parts: Mapping[str, Path | str]) -> str:
        contents = {name: self._digest(part) if isinstance(part, Path) else part for name, part in parts.items()}
        return hashlib.sha256(json.dumps([self.options, contents], sort_keys=True).encode()).hexdigest()

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = digest(path)
        return self._digests[path]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def digest(path: Path) -> str:
    """A digest of a file's content.

    Raises:
        OSError: It cannot be read.
    """
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()
