"""Loads playbook files: from directories, and again from the sources of a stored version.

Both ways execute the same thing. A file and the local modules it imports are one version, named
by the hash over their text; its modules live under ``opensoar_playbooks.v<hash>``. Hence a run
that resumes finds the very code (and exception classes) it started with, in whatever process and
though the file has changed or gone meanwhile; and a reload never touches what is running.

The modules of a version are executed once per process. Nothing of a version that fails stays.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbooks_engine.importer import LoadError, Tree, execute, forget
from playbooks_engine.registry import DuplicatePlaybook, PlaybookSpec, Registry
from playbooks_engine.sources import (
    Sources,
    is_entry,
    module_name,
    read_directory,
    version_hash,
)

__all__ = [
    "FileResult",
    "LoadError",
    "LoadResult",
    "load",
    "load_file",
    "load_version",
]

_MAX_VERSIONS = 1024
_lock = threading.RLock()
#: Executed versions by hash, least recently used first.
_loaded: OrderedDict[str, Tree] = OrderedDict()


@dataclass(frozen=True)
class FileResult:
    """What became of one playbook file (or of a directory that could not be read)."""

    path: str
    root: str = ""
    entry: str = ""
    source_hash: str = ""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    error: str | None = None
    error_line: int | None = None
    details: str = field(default="", repr=False)
    playbooks: tuple[PlaybookSpec, ...] = ()


@dataclass(frozen=True)
class LoadResult:
    """A new registry, built aside, and the fate of each file."""

    registry: Registry
    files: list[FileResult]

    @property
    def errors(self) -> list[FileResult]:
        return [file for file in self.files if file.error is not None]


def load(directories: Iterable[str | Path]) -> LoadResult:
    """Load every playbook file below the directories, in their order and sorted by path.

    A file that fails is reported and left out whole; the others go on. Of two playbooks of one
    name the first stays, and the later file's error names both.
    """
    result = LoadResult(Registry(), [])
    seen: set[Path] = set()
    for directory in directories:
        root = Path(directory)
        try:
            sources = read_directory(root)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            message = f"playbook directory {root} cannot be read: {reason}"
            result.files.append(FileResult(path=str(root), root=str(root), error=message))
            continue
        for entry in sorted({*sources.files, *sources.problems}):
            real = (root / entry).resolve()
            if is_entry(entry) and real not in seen:
                seen.add(real)
                result.files.append(_load_file(result.registry, sources, root, entry))
    return result


def load_file(path: str | Path, root: str | Path | None = None) -> LoadResult:
    """Load one playbook file; `root` is the playbook directory, by default the file's folder.

    Raises:
        OSError: the directory cannot be read.
        ValueError: the file does not lie below `root`.
    """
    file = Path(path).resolve()
    folder = Path(root).resolve() if root is not None else file.parent
    entry = file.relative_to(folder).as_posix()
    registry = Registry()
    return LoadResult(registry, [_load_file(registry, read_directory(folder), folder, entry)])


def load_version(sources: Mapping[str, str], entry: str, root: str | Path | None = None) -> Registry:
    """Execute a stored version from its sources alone; once per process and hash.

    Args:
        sources: source text by relative path, as in `FileResult.sources`.
        entry: relative path of the playbook file; only its own playbooks are registered.
        root: directory it came from, for ``__file__`` only; nothing is read from there.

    Raises:
        LoadError: it cannot be imported.
    """
    digest = version_hash(sources, entry)
    with _lock:
        tree = _loaded.get(digest)
        if tree is None or (tree.root is None and root is not None):
            tree = Tree(digest, dict(sources), entry, str(root) if root is not None else None)
            execute(tree)
            _remember(tree)
        _loaded.move_to_end(digest)
        return tree.registry


def _load_file(registry: Registry, sources: Sources, root: Path, entry: str) -> FileResult:
    path = str(root / entry)
    place: dict[str, Any] = {"path": path, "root": str(root), "entry": entry}
    if entry not in sources.files:
        problem = sources.problems.get(entry, "no such Python file")
        return FileResult(**place, error=problem)
    closure = sources.closure(entry)
    place |= {"sources": closure, "source_hash": version_hash(closure, entry)}
    try:
        own = load_version(closure, entry, root)
        module_path = f"{root.resolve().name}.{module_name(entry)}"
        specs = registry.include(own, source_file=path, module_path=module_path)
    except LoadError as error:
        return FileResult(**place, error=str(error), error_line=error.line, details=error.details)
    except DuplicatePlaybook as error:
        return FileResult(**place, error=str(error), error_line=error.line)
    return FileResult(**place, playbooks=specs)


def _remember(tree: Tree) -> None:
    _loaded[tree.digest] = tree
    while len(_loaded) > _MAX_VERSIONS:
        forget(_loaded.popitem(last=False)[1])
