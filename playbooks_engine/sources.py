"""The source text of playbook files: reading it, and finding what belongs to one file.

A *version* of a playbook file is the file together with every local module it imports, directly
or through others. It is found by reading the import statements (also those inside functions, which
run only later), never by running anything; a module imported under a computed name is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

MAX_FILE_BYTES = 1 << 20
#: Never taken from a playbook folder, whatever lies there.
_RESERVED = frozenset({"opensoar", "playbooks_engine", "alerts", "incidents"})


@dataclass(frozen=True)
class Sources:
    """Python files of one directory (or of one stored version) by relative path."""

    files: Mapping[str, str]
    #: relative path -> why the file could not be read
    problems: Mapping[str, str] = field(default_factory=dict)

    def find(self, module: str) -> str | None:
        """Return the file of a dotted module name; ``""`` for a folder without `__init__.py`."""
        path = module.replace(".", "/")
        for candidate in (f"{path}/__init__.py", f"{path}.py"):
            if candidate in self.files:
                return candidate
        return "" if path in self._folders else None

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(parent.as_posix() for path in self.files for parent in PurePosixPath(path).parents)

    def locate(self, name: str, importer: str) -> str | None:
        """Return the local module that ``import name`` means in the module `importer`, or None.

        A plain folder works like a folder of scripts: its files import each other, and those of
        the folders above. The standard library always wins, so ``email.py`` harms nobody; an
        installed package does not, except in a file of the same name.
        """
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in _RESERVED:
            return None
        for folder in self._search_path(importer):
            local = f"{folder}.{top}" if folder else top
            found = self.find(local)
            itself = local == importer and found is not None and not _is_package(found)
            if found is not None and not itself:
                return f"{folder}.{name}" if folder else name
        return None

    def _search_path(self, importer: str) -> Iterator[str]:
        found = self.find(importer)
        folder = importer if found is None or _is_package(found) else _parent(importer)
        while folder:
            if self.find(folder) == "":  # a real package has Python's own rules
                yield folder
            folder = _parent(folder)
        yield ""

    def closure(self, entry: str) -> dict[str, str]:
        """Return the version of `entry`: itself and all local files it imports."""
        wanted = list(self._with_packages(module_name(entry)))
        found: dict[str, str] = {}
        while wanted:
            path = wanted.pop()
            if path not in found:
                found[path] = self.files[path]
                wanted.extend(self._imported(path))
        return dict(sorted(found.items()))

    def _imported(self, path: str) -> Iterator[str]:
        importer = module_name(path)
        try:
            tree = ast.parse(self.files[path])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return  # the error is reported when the file is executed
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._with_packages(self.locate(alias.name, importer))
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node, path)
                if base is None:
                    continue
                yield from self._with_packages(base)
                for alias in node.names:
                    yield from self._with_packages(f"{base}.{alias.name}".lstrip("."))

    def _base(self, node: ast.ImportFrom, path: str) -> str | None:
        importer = module_name(path)
        if not node.level:
            return self.locate(node.module or "", importer)
        package = importer if _is_package(path) else _parent(importer)
        for _ in range(node.level - 1):
            package = _parent(package)
        return ".".join(part for part in (package, node.module) if part)

    def _with_packages(self, module: str | None) -> Iterator[str]:
        """Yield the files that importing a module executes: its packages and itself."""
        parts = module.split(".") if module else []
        for length in range(1, len(parts) + 1):
            if path := self.find(".".join(parts[:length])):
                yield path


def module_name(path: str) -> str:
    """Return the dotted name of a relative path: ``a/b.py`` is ``a.b``."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def version_hash(sources: Mapping[str, str], entry: str) -> str:
    """Return the SHA-256 (hex) over the entry's name and every path and text of a version."""
    canonical = json.dumps([entry, sorted(sources.items())], ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_directory(root: Path) -> Sources:
    """Read every Python file below `root`, once.

    Raises:
        OSError: the directory itself cannot be read.
    """
    os.listdir(root)  # os.walk would be silent about a directory that is absent or closed
    files: dict[str, str] = {}
    problems: dict[str, str] = {}
    for folder, names in walk(root):
        for name in names:
            relative = (folder / name).relative_to(root).as_posix()
            try:
                files[relative] = _read(folder / name, relative)
            except (OSError, ValueError, SyntaxError) as error:
                problems[relative] = f"{type(error).__name__}: {error}"
    return Sources(files, problems)


def is_entry(path: str) -> bool:
    """Tell whether a file is loaded for its playbooks: no part of its path begins with ``_``."""
    return not any(part.startswith("_") for part in path.split("/"))


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders of a playbook directory with their Python files; hidden ones and virtual environments are left out."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".")
            and name not in ("__pycache__", "node_modules")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        yield Path(folder), sorted(n for n in names if n.endswith(".py") and n[0] != ".")


def _read(path: Path, relative: str) -> str:
    if "." in relative.removesuffix(".py"):
        raise ValueError("a file or folder with a dot in its name cannot be imported; rename it")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES // 1024} kB")
    text = importlib.util.decode_source(path.read_bytes())
    text.encode("utf-8")  # what is loaded must also be storable
    if "\0" in text:
        raise ValueError("source code must not contain null bytes")
    return text


def _is_package(path: str) -> bool:
    return path == "" or path == "__init__.py" or path.endswith("/__init__.py")


def _parent(module: str) -> str:
    return module.rpartition(".")[0]
