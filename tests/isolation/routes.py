"""Every address the product answers, read from the URL configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SAFE = {"GET", "HEAD", "OPTIONS"}
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Route:
    """One pattern and the view behind it."""

    path: str  # as it is written in the urls files, without the leading slash
    view: Callable[..., Any]

    @property
    def is_api(self) -> bool:
        return self.path.startswith("api/")

    @property
    def is_admin(self) -> bool:
        return self.path.startswith("admin/")

    @property
    def is_borrowed(self) -> bool:
        """django-allauth's and Django admin's views, which declare nothing of ours."""
        return self.path.startswith(("accounts/", "admin/"))

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(self.path)

    @property
    def methods(self) -> set[str]:
        """What the view accepts, apart from HEAD and OPTIONS."""
        if (cls := getattr(self.view, "cls", None)) is not None:  # DRF
            allowed = {name.upper() for name in cls.http_method_names}
            return {method for method in METHODS if method in allowed and hasattr(cls, method.lower())}
        named = _declared(self.view, "request_method_list")
        return set(named or ("GET", "POST")) - {"HEAD", "OPTIONS"}

    def declared(self, method: str) -> str | None:
        """The capability that the view itself names for ``method``."""
        if (cls := getattr(self.view, "cls", None)) is not None:
            return getattr(cls, "capabilities", {}).get(method, getattr(cls, "capability", None))
        return _declared(self.view, "capability")

    def at(self, ids: dict[str, str]) -> str:
        """The address with the parameters filled in."""
        return "/" + _PARAMETER.sub(lambda match: ids[match[1]], self.path)


def _declared(view: Any, name: str) -> Any:
    """A variable of one of the decorators around ``view``."""
    while view is not None:
        if inspect.isfunction(view) and name in (found := inspect.getclosurevars(view).nonlocals):
            return found[name]
        view = getattr(view, "__wrapped__", None)
    return None


def _walk(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[Route]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        else:
            yield Route(path, pattern.callback)


ROUTES: list[Route] = list(_walk(get_resolver().url_patterns))
