"""What ``check_playbook`` finds in a playbook file by reading it, without running it.

A run that resumes calls the playbook again from the top and gets back what its actions returned.
Whatever else differs from call to call (the clock, chance, an answer from the network) would send
the second life another way, so it belongs in an action. This is a reading aid, not a proof: it
follows names through imports and plain functions of the same file, and no further.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
Function = ast.FunctionDef | ast.AsyncFunctionDef

#: Calls whose answer differs from call to call. A name that ends in a dot stands for all below it.
UNREPEATABLE = {
    "datetime.datetime.now": "the clock",
    "datetime.datetime.utcnow": "the clock",
    "datetime.datetime.today": "the clock",
    "datetime.date.today": "the clock",
    "django.utils.timezone.now": "the clock",
    "time.time": "the clock",
    "time.time_ns": "the clock",
    "time.monotonic": "the clock",
    "time.monotonic_ns": "the clock",
    "time.perf_counter": "the clock",
    "random.": "chance",
    "secrets.": "chance",
    "os.urandom": "chance",
    "os.getenv": "the environment",
    "os.environ.": "the environment",
    "uuid.uuid1": "chance",
    "uuid.uuid4": "chance",
    "uuid.uuid7": "chance",
    "requests.": "the network",
    "httpx.": "the network",
    "aiohttp.": "the network",
    "urllib.request.": "the network",
    "socket.": "the network",
    "smtplib.": "the network",
    "subprocess.": "another program",
    "os.system": "another program",
}
#: Calls that stop every run of the worker when they stand in an `async def`.
BLOCKING = ("time.sleep", "requests.", "urllib.request.", "subprocess.", "os.system", "smtplib.")


@dataclass(frozen=True)
class Finding:
    """One remark. `line` is None where it concerns no line in particular."""

    level: Level
    message: str
    file: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.level}: {self.message}"


def read(source: str, file: str) -> list[Finding]:
    """Return the findings in the text of one file, by line. A text that does not parse has none."""
    try:
        module = _Module(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):
        return []  # importing it says so, with the line
    found = [Finding(level, message, file, line) for level, message, line in _findings(module)]
    return sorted(set(found), key=lambda finding: (finding.line or 0, finding.message))


def _findings(module: _Module) -> Iterator[tuple[Level, str, int]]:
    for playbook in module.decorated("playbook"):
        for call, name, via in module.calls_from(playbook):
            if what := _listed(name, UNREPEATABLE):
                where = f"in {via}() " if via != playbook.name else ""
                yield (
                    "warning",
                    f"{name}() {where}asks {what}, and playbook {playbook.name} is called again "
                    f"when a run resumes; move it into an @action",
                    call.lineno,
                )
    for function in module.functions:
        if isinstance(function, ast.AsyncFunctionDef):
            for call, name in module.calls_in(function):
                if _listed(name, dict.fromkeys(BLOCKING, "blocks")):
                    yield (
                        "warning",
                        f"{name}() blocks the worker inside async function {function.name}; use "
                        f"an async library, asyncio.sleep, or a plain `def` action, which runs in "
                        f"a thread",
                        call.lineno,
                    )
    for action in module.decorated("action"):
        if not any(module.has_option(action, "action", option) for option in ("idempotent", "verify")):
            yield (
                "note",
                f"action {action.name} does not say whether it is idempotent: a call whose "
                f"outcome a crash left unknown is made again and marked as a repeat; "
                f"idempotent=False would ask a person instead",
                action.lineno,
            )


def _listed(name: str, table: dict[str, str]) -> str | None:
    for listed, what in table.items():
        if name == listed or (listed.endswith(".") and name.startswith(listed)):
            return what
    return None


class _Module:
    """The functions of a file, and what the names in it mean."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
        self.names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    self.names[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        self.plain = {
            node.name: node
            for node in tree.body
            if isinstance(node, Function)
            and not self._decorator(node, "action")
            and not self._decorator(node, "playbook")
        }

    def decorated(self, kind: str) -> list[Function]:
        return [node for node in self.functions if self._decorator(node, kind)]

    def has_option(self, function: Function, kind: str, option: str) -> bool:
        decorator = self._decorator(function, kind)
        return isinstance(decorator, ast.Call) and any(
            # `**options` may hold it
            keyword.arg in (option, None)
            for keyword in decorator.keywords
        )

    def calls_from(self, start: Function) -> Iterator[tuple[ast.Call, str, str]]:
        """Yield the calls of a function and of the plain functions it calls in this file."""
        waiting, seen = [start], {start.name}
        while waiting:
            function = waiting.pop()
            for call, name in self.calls_in(function):
                yield call, name, function.name
                if name in self.plain and name not in seen:
                    seen.add(name)
                    waiting.append(self.plain[name])

    def calls_in(self, function: Function) -> Iterator[tuple[ast.Call, str]]:
        """Yield the calls in a function's body, with their full dotted names."""
        waiting: list[ast.AST] = list(function.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, Function) and self._decorator(node, "action"):
                continue
            if isinstance(node, ast.Call) and (name := self._dotted(node.func)):
                yield node, name
            waiting.extend(ast.iter_child_nodes(node))

    def _decorator(self, function: Function, kind: str) -> ast.expr | None:
        for decorator in function.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = self._dotted(target) or ""
            if name in (f"opensoar.{kind}", f"playbooks_engine.sdk.{kind}", kind):
                return decorator
        return None

    def _dotted(self, node: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        return ".".join([self.names.get(node.id, node.id), *reversed(parts)])
