"""Kinds of systems that a connector can stand for: those this tree really knows.

A kind is a module of this package and one :class:`ConnectorType` here, or a poller. A connector of another kind can be
stored (playbooks of one's own may use it); its health is not known here, and that is what is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from playbooks_engine.pollers import KINDS, poller

if TYPE_CHECKING:
    from playbooks_engine.models import Connector


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at the other system found. ``details`` is JSON and holds no secret."""

    healthy: bool
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectorType:
    """One kind: its names for people, and how its health is looked at (it says why not by :class:`OSError`)."""

    kind: str
    display_name: str | Promise
    description: str | Promise
    look: Callable[[Connector], dict[str, Any]]
    config: tuple[str, ...] = ()
    """Names that its configuration must and may have; a ``*`` behind those it must."""
    secrets: tuple[str, ...] = ()
    """Names that its secrets must have."""

    def health(self, connector: Connector) -> Health:
        """Ask the other system now; takes seconds at the most."""
        try:
            details = self.look(connector)
        except OSError as problem:
            return Health(healthy=False, message=str(problem))
        return Health(healthy=True, message=str(_("It answers")), details=details)


def _look_at_docker(connector: Connector) -> dict[str, Any]:
    from playbooks_engine.connectors import docker  # late: every web process would load its HTTP client

    return docker.look(connector)


def _look_at_polled(connector: Connector) -> dict[str, Any]:
    from playbooks_engine.pollers import sessions  # late, likewise

    return sessions.look(connector)


def _polled(kind: str) -> ConnectorType:
    known = poller(kind)
    return ConnectorType(
        kind, known.display_name, known.description, _look_at_polled,
        config=known.config_names(), secrets=known.credentials.__struct_fields__,
    )  # fmt: skip


_DOCKER = ConnectorType(
    kind="docker",
    display_name=_("Docker Engine"),
    description=_(
        "Containers: preserve their state, restart them. The address is OPENSOAR_DOCKER_URL, set by whoever "
        "runs OpenSOAR; a connector cannot point elsewhere."
    ),
    look=_look_at_docker,
)


def known_type(kind: str) -> ConnectorType | None:
    """The kind of that name; None for one that is not known here."""
    return _DOCKER if kind == _DOCKER.kind else _polled(kind) if kind in KINDS else None


def known_types() -> list[ConnectorType]:
    """Every kind that is known here."""
    return [_DOCKER, *map(_polled, KINDS)]
