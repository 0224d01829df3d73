"""From a connector's row to what its poller works with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
from django.utils import timezone
from django.utils.translation import gettext as _

from opensoar.crypto import SecretsError, decrypt
from playbooks_engine.models import Connector
from playbooks_engine.pollers import poller
from playbooks_engine.pollers.base import Session
from playbooks_engine.pollers.errors import VendorError


def look(connector: Connector) -> dict[str, Any]:
    """Ask the other side whether it answers and lets us in. Raises :class:`VendorError`."""
    session = open_session(connector, created=timezone.now())
    try:
        return poller(connector.kind).look(session)
    finally:
        session.close()


def open_session(connector: Connector, *, created: datetime, failures: int = 0) -> Session:
    """What a poll works with, after ``failures`` of them in a row.

    Raises :class:`VendorError` where configuration or secrets are not usable.
    """
    kind = poller(connector.kind)
    try:
        sealed = connector.secrets
        secrets = orjson.loads(decrypt(sealed, context=str(connector.pk))) if sealed is not None else {}
        settings = kind.read_settings(connector.config)
        credentials = kind.read_credentials(secrets)
        kind.check_together(settings, credentials)
    except SecretsError as error:
        raise VendorError(str(error)) from None
    except ValueError as error:
        raise VendorError(_("Edit this integration: %s") % error) from None
    return Session(
        connector_id=connector.pk,
        version=connector.version,
        settings=settings,
        credentials=credentials,
        start=created - timedelta(hours=settings.first_hours),
        now=timezone.now(),
        failures=failures,
    )
