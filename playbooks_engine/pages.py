"""The questions behind the pages of playbooks and runs."""

from __future__ import annotations

from opensoar.actors import Actor
from playbooks_engine.models import Playbook, PlaybookFile, PlaybookRun
from playbooks_engine.querysets import RunQuerySet


def playbooks(actor: Actor) -> list[Playbook]:
    """In the order in which one event would run them."""
    return list(Playbook.objects.visible_to(actor).select_related("partner").order_by("order", "name"))


def broken_files() -> list[PlaybookFile]:
    """Files that the last load could not import."""
    return list(PlaybookFile.objects.exclude(error=""))


def runs(actor: Actor) -> RunQuerySet:
    """What a list of runs starts from, newest first."""
    return PlaybookRun.objects.visible_to(actor).with_related()
