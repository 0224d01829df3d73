"""Fills an installation with the demo: in one transaction, once, and never beside real data unless told so."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts.models import Alert
from incidents.models import NUMBER_SEQUENCE, Incident
from incidents.suggestion_store import catch_up
from opensoar.accounts.models import AuditEntry, User
from opensoar.accounts.services import audit
from opensoar.demo.desk import SEED, Desk
from opensoar.demo.engine import StoryEngine
from opensoar.demo.people import PEOPLE, TELLER, Cast
from opensoar.demo.stories import cloud, everyday, intel, noise, payroll, spray
from opensoar.errors import Conflict
from opensoar.supervisor.instance import read_credentials, write_credentials
from opensoar.supervisor.options import DEMO_PLAYBOOKS
from playbooks_engine import bell
from playbooks_engine.models import Playbook, PlaybookRun

LOADED = "demo_loaded"  # the audit entry that says so
FIRST_NUMBER = 1033
LOCK = 7_041_002  # pg_advisory_xact_lock: two that load at once do it once


@dataclass(frozen=True, slots=True)
class Loaded:
    """What there is now. ``password`` is everybody's of the demo, ``None`` when it was loaded earlier."""

    users: tuple[str, ...]
    password: str | None
    alerts: int
    incidents: int
    runs: int


def load(
    *, force: bool = False, now: datetime | None = None, keep: Callable[[str], None] | None = None
) -> Loaded:
    """Tell the week that ends at ``now``.

    A second call changes nothing. ``keep`` is given the password before the commit, so that one that counts is never one
    that nobody knows. Raises :class:`Conflict` where alerts or users of others are in the way (``force``: alerts are not).
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if AuditEntry.objects.filter(action=LOADED).exists():
            return _loaded(None)
        _refuse_to_mix(force)
        _number_from(FIRST_NUMBER)
        password = secrets.token_urlsafe(12)
        now = now or timezone.now()
        _tell(password, now)
        audit(actor=TELLER, action=LOADED, detail={"seed": SEED, "now": now.isoformat()})
        if keep is not None:
            keep(password)
        transaction.on_commit(bell.ring, robust=True)
        return _loaded(password)


def keep_in(credentials: Path) -> Callable[[str], None]:
    """What adds the password to a ``credentials.env`` (embedded mode)."""

    def keep(password: str) -> None:
        write_credentials(credentials, read_credentials(credentials) | {"OPENSOAR_DEMO_PASSWORD": password})

    return keep


def _tell(password: str, now: datetime) -> None:
    directories = list(dict.fromkeys([*map(str, settings.PLAYBOOK_DIRS), str(DEMO_PLAYBOOKS)]))
    with StoryEngine(directories, SEED) as engine, _only(engine.own):
        desk = Desk(now, Cast(password), engine)
        for story in (payroll, spray, cloud, everyday, intel, noise):
            story.tell(desk)
        desk.play()
        catch_up()


@contextmanager
def _only(names: list[str]) -> Iterator[None]:
    """Inside, nothing but these playbooks is triggered. Nobody sees the others switched off: they are on again before
    the transaction ends."""
    others = Playbook.objects.filter(enabled=True).exclude(name__in=names)
    ids = list(others.values_list("pk", flat=True))
    Playbook.objects.filter(pk__in=ids).update(enabled=False)
    yield
    Playbook.objects.filter(pk__in=ids).update(enabled=True)


def _refuse_to_mix(force: bool) -> None:
    taken = User.objects.filter(username__in=PEOPLE).values_list("username", flat=True)
    if taken:
        raise Conflict(_("The demo needs these user names, which are taken: %s") % ", ".join(sorted(taken)))
    if not force and Alert.objects.exists():
        raise Conflict(_("This installation has alerts of its own; --force loads the demo beside them"))


def _number_from(number: int) -> None:
    """Let incidents be counted from ``number`` where fewer have been given: the pages' stories name their incidents.

    By drawing numbers, which is all that the application's role may do with the sequence.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s)", [NUMBER_SEQUENCE])
        missing = number - 1 - cursor.fetchone()[0]
        cursor.execute("SELECT nextval(%s) FROM generate_series(1, %s)", [NUMBER_SEQUENCE, missing])


def _loaded(password: str | None) -> Loaded:
    return Loaded(
        users=tuple(PEOPLE),
        password=password,
        alerts=Alert.objects.count(),
        incidents=Incident.objects.count(),
        runs=PlaybookRun.objects.count(),
    )
