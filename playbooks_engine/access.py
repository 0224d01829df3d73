"""Playbooks, runs and connectors by id: the one place that fetches and authorises."""

from __future__ import annotations

from django.utils.translation import gettext as _

from opensoar.access import parse_id, require
from opensoar.actors import Actor
from opensoar.errors import NotFound
from playbooks_engine.models import Approval, Connector, Playbook, PlaybookRun


def get_playbook_for(actor: Actor, pk: object, capability: str) -> Playbook:
    """The playbook; :class:`NotAllowed`, or :class:`NotFound` if missing or another partner's."""
    require(actor, capability)
    missing = _("Playbook not found")
    playbooks = Playbook.objects.visible_to(actor).select_related("partner", "current")
    playbook = playbooks.filter(pk=parse_id(pk, missing=missing)).first()
    if playbook is None:
        raise NotFound(missing)
    return playbook


def get_run_for(actor: Actor, pk: object, capability: str) -> PlaybookRun:
    """The run; :class:`NotAllowed`, or :class:`NotFound` if missing or of another partner's sequence."""
    require(actor, capability)
    missing = _("Run not found")
    run = (
        PlaybookRun.objects.visible_to(actor).with_related().filter(pk=parse_id(pk, missing=missing)).first()
    )
    if run is None:
        raise NotFound(missing)
    return run


def get_approval_for(actor: Actor, pk: object, capability: str) -> Approval:
    """The approval; :class:`NotAllowed`, or :class:`NotFound` if missing or of another partner's run."""
    require(actor, capability)
    missing = _("Approval not found")
    approvals = Approval.objects.visible_to(actor).select_related("run__playbook")
    approval = approvals.filter(pk=parse_id(pk, missing=missing)).first()
    if approval is None:
        raise NotFound(missing)
    return approval


def get_connector_for(actor: Actor, pk: object, capability: str) -> Connector:
    """The connector; :class:`NotAllowed`, or :class:`NotFound` if missing or another partner's."""
    require(actor, capability)
    missing = _("Integration not found")
    connectors = Connector.objects.visible_to(actor).select_related("partner", "poll")
    connector = connectors.filter(pk=parse_id(pk, missing=missing)).first()
    if connector is None:
        raise NotFound(missing)
    return connector
