"""Executes the modules of one playbook version under a private name.

A version is named by the hash over its text; its modules live below ``opensoar_playbooks.v<hash>``.
Nothing is read from disk here, and nothing of a version that fails stays in ``sys.modules``.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import linecache
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from playbooks_engine.codec import storable
from playbooks_engine.registry import Registry, collecting
from playbooks_engine.sources import Sources, module_name

PREFIX = "opensoar_playbooks"
_MAX_MESSAGE = 2_000


def is_playbook_code(filename: str) -> bool:
    """Whether code of this name comes from a playbook file."""
    return filename.startswith("playbook:")


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


class Tree:
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

    def __init__(self, tree: Tree, path: str) -> None:
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
            exec(self.get_code(module.__name__), vars(module))  # noqa: S102  (what a loader is for)


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


_finder = _Finder()
#: By package name. A tree lives as long as code of it does: its functions hold its builtins.
_trees: WeakValueDictionary[str, Tree] = WeakValueDictionary()


def execute(tree: Tree) -> None:
    """Import the entry file of a version; its playbooks are then in ``tree.registry``.

    Raises:
        LoadError: whatever went wrong, a `SystemExit` in the file included.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _trees[tree.package] = tree
    forget(tree)
    try:
        importlib.import_module(f"{tree.package}.{module_name(tree.entry)}")
    except KeyboardInterrupt:
        forget(tree)
        raise
    except BaseException as error:  # a SystemExit in somebody's file must not end the worker
        failure = _describe(tree, error)
        forget(tree)
        raise failure from None


def forget(tree: Tree) -> None:
    """Remove a version's modules. Functions of it that still run keep their globals."""
    for name in [n for n in sys.modules if n == tree.package or n.startswith(f"{tree.package}.")]:
        del sys.modules[name]
    parent = sys.modules.get(PREFIX)
    if parent is not None:
        vars(parent).pop(tree.package.rpartition(".")[2], None)
    for path in tree.sources.files:
        linecache.cache.pop(tree.filename(path), None)


def _describe(tree: Tree, error: BaseException) -> LoadError:
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
    return LoadError(storable(reason), lines[-1] if lines else None, storable(_details(tree, error, own)))


def _details(tree: Tree, error: BaseException, own: str) -> str:
    """Return the traceback without the frames of the import machinery."""
    report = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in report.stack if "importlib" not in frame.filename]
    first = next((n for n, f in enumerate(kept) if f.filename.startswith(own)), len(kept))
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in kept[first:] if frame.filename != __file__]
    )
    return "".join(report.format()).replace(f"{tree.package}.", "")
