"""Loads playbook files: from directories, and again from the sources of a stored version.

Both ways execute the same thing. A file and the local modules it imports are one version, named
by the hash over their text; its modules live under ``opensoar_playbooks.v<hash>``. Hence a run
that resumes finds the very code (and exception classes) it started with, in whatever process and
though the file has changed or gone meanwhile; and a reload never touches what is running.

The modules of a version are executed once per process. Nothing of a version that fails stays.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import linecache
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from playbooks_engine.registry import DuplicatePlaybook, PlaybookSpec, Registry, collecting
from playbooks_engine.sources import (
    Sources,
    is_entry,
    module_name,
    read_directory,
    version_hash,
)

PREFIX = "opensoar_playbooks"
_MAX_VERSIONS = 1024
_MAX_MESSAGE = 2_000


class LoadError(Exception):
    """A version could not be imported.

    Attributes:
        line: line in the entry file that led to it; None where there is none.
        details: the traceback, from the playbook's own code on.
    """

    def __init__(self, message: str, line: int | None = None, details: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.details = details


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


def load_version(
    sources: Mapping[str, str], entry: str, root: str | Path | None = None
) -> Registry:
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
            tree = _Tree(digest, dict(sources), entry, str(root) if root is not None else None)
            _execute(tree)
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
        return FileResult(
            **place, error=str(error), error_line=error.line, details=error.details
        )
    except DuplicatePlaybook as error:
        return FileResult(**place, error=str(error), error_line=error.line)
    return FileResult(**place, playbooks=specs)


class _Tree:
    """The modules of one version."""

    def __init__(self, digest: str, files: dict[str, str], entry: str, root: str | None) -> None:
        self.digest = digest
        self.entry = entry
        self.root = root
        self.sources = Sources(files)
        self.registry = Registry()
        self.package = f"{PREFIX}.v{digest[:20]}"
        # One namespace of builtins for all modules of the version, with an `import` that knows
        # the version's own files. Functions keep it, so imports inside them work later as well.
        self.builtins = {**vars(builtins), "__import__": self._import}

    def filename(self, path: str) -> str:
        """Name of the code in tracebacks; differs per version, so it never shows newer lines."""
        return f"playbook:{self.digest[:12]}/{path}"

    def source_file(self, path: str) -> str:
        return str(Path(self.root) / path) if self.root else path

    def local_name(self, fullname: str) -> str:
        return fullname.removeprefix(self.package).lstrip(".")

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0:
            importer = self.local_name((globals or {}).get("__name__", ""))
            local = self.sources.locate(name, importer)
            if local is not None:
                full = f"{self.package}.{local}"
                module = importlib.import_module(full)
                if not fromlist:  # `import a.b` binds a
                    return sys.modules[full.removesuffix(name) + name.partition(".")[0]]
                return builtins.__import__(module.__name__, globals, locals, fromlist, 0)
        return builtins.__import__(name, globals, locals, fromlist or (), level)


class _ModuleLoader(importlib.abc.InspectLoader):
    """Executes one module of a tree; gives its source to tracebacks and to `inspect`."""

    def __init__(self, tree: _Tree, path: str) -> None:
        self.tree = tree
        self.path = path

    def get_source(self, fullname: str) -> str:
        return self.tree.sources.files.get(self.path, "")

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(
            self.get_source(fullname), self.tree.filename(self.path), "exec", dont_inherit=True
        )
        return code

    def is_package(self, fullname: str) -> bool:
        return self.path in ("", "__init__.py") or self.path.endswith("/__init__.py")

    def exec_module(self, module: ModuleType) -> None:
        tree, source = self.tree, self.get_source(module.__name__)
        filename = tree.filename(self.path)
        # A modification time of None means: never compare with the disk.
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        own = self.path == tree.entry
        vars(module).update(
            __builtins__=tree.builtins,
            __file__=tree.source_file(self.path) if tree.root else filename,
            __opensoar_file__=tree.source_file(self.path),
            __opensoar_module__=tree.local_name(module.__name__),
        )
        # What a neighbour declares is registered by the neighbour's own load.
        with collecting(tree.registry if own else None):
            exec(self.get_code(module.__name__), vars(module))  # noqa: S102


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``opensoar_playbooks.v<hash>.<module>`` in the trees that are alive."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != PREFIX and not fullname.startswith(f"{PREFIX}."):
            return None
        if fullname == PREFIX:
            return importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        tree = _trees.get(".".join(fullname.split(".")[:2]))
        if tree is None:
            return None
        local = tree.local_name(fullname)
        found = tree.sources.find(local) if local else ""
        if found is None:
            return None
        loader = _ModuleLoader(tree, found)
        return importlib.machinery.ModuleSpec(
            fullname, loader, origin=tree.filename(found), is_package=loader.is_package(fullname)
        )


_lock = threading.RLock()
_finder = _Finder()
#: By package name. A tree lives as long as code of it does: its functions hold its builtins.
_trees: WeakValueDictionary[str, _Tree] = WeakValueDictionary()
#: By hash, least recently used first.
_loaded: OrderedDict[str, _Tree] = OrderedDict()


def _execute(tree: _Tree) -> None:
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _trees[tree.package] = tree
    _forget(tree)
    try:
        importlib.import_module(f"{tree.package}.{module_name(tree.entry)}")
    except KeyboardInterrupt:
        _forget(tree)
        raise
    except BaseException as error:  # a SystemExit in somebody's file must not end the worker
        failure = _describe(tree, error)
        _forget(tree)
        raise failure from None


def _remember(tree: _Tree) -> None:
    _loaded[tree.digest] = tree
    while len(_loaded) > _MAX_VERSIONS:
        _forget(_loaded.popitem(last=False)[1])


def _forget(tree: _Tree) -> None:
    """Remove a version's modules. Functions of it that still run keep their globals."""
    for name in [n for n in sys.modules if n == tree.package or n.startswith(f"{tree.package}.")]:
        del sys.modules[name]
    parent = sys.modules.get(PREFIX)
    if parent is not None:
        vars(parent).pop(tree.package.rpartition(".")[2], None)
    for path in tree.sources.files:
        linecache.cache.pop(tree.filename(path), None)


def _describe(tree: _Tree, error: BaseException) -> LoadError:
    """Say in one line what went wrong and where, in the author's own file and line."""
    own = f"playbook:{tree.digest[:12]}/"
    frames = [
        (frame.filename.removeprefix(own), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(own)
    ]
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(own):
        frames.append(((error.filename or "").removeprefix(own), error.lineno))
        reason = f"{type(error).__name__}: {error.msg}"
    elif isinstance(error, SystemExit):
        reason = f"SystemExit: the file ends the process while it is imported ({error.code!r})"
    else:
        reason = "".join(traceback.format_exception_only(error)).strip()
    reason = reason.replace(f"{tree.package}.", "")[:_MAX_MESSAGE]
    lines = [line for path, line in frames if path == tree.entry]
    if frames and frames[-1][0] != tree.entry:
        reason = f"{reason} (in {frames[-1][0]}, line {frames[-1][1]})"
    return LoadError(reason, lines[-1] if lines else None, _details(tree, error, own))


def _details(tree: _Tree, error: BaseException, own: str) -> str:
    """Return the traceback without the frames of the import machinery."""
    report = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in report.stack if "importlib" not in frame.filename]
    first = next((n for n, f in enumerate(kept) if f.filename.startswith(own)), len(kept))
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in kept[first:] if frame.filename != __file__]
    )
    return "".join(report.format()).replace(f"{tree.package}.", "")
