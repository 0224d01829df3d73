"""Every registered kind of timeline entry can be read on a page: in words, never as raw identifiers."""

from __future__ import annotations

import dataclasses
import re

import pytest
from django.template.loader import get_template, render_to_string
from django.utils.html import strip_tags

from incidents.models import IncidentEntry
from opensoar import timeline
from opensoar.ids import uuid7
from opensoar.timeline import Draft, Kind
from opensoar.web.timeline import display_names, timeline_of
from tests.factories import SYSTEM, make_incident
from tests.test_timeline import example

RAW = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32,}\b|[{}\[\]]|\bNone\b")


def with_real_ids(kind: Kind) -> Kind:
    """The example with identifiers where its fields hold some."""
    ids = {field.name: str(uuid7()) for field in dataclasses.fields(kind) if field.name.endswith("_id")}
    return dataclasses.replace(kind, **ids)


@pytest.mark.django_db
@pytest.mark.parametrize("action", sorted(timeline.kinds()))
def test_every_kind_is_told_in_words(action: str) -> None:
    incident = make_incident()
    made = with_real_ids(example(timeline.kinds()[action]))
    [entry] = timeline.record(IncidentEntry, incident, Draft(kind=made, actor=SYSTEM, text="Some words"))
    shown = next(row for row in timeline_of(IncidentEntry, incident) if row.entry.pk == entry.pk)
    html = render_to_string(
        "timeline/_entry.html", {"shown": shown, "on": "incident", "names": display_names()}
    )
    words = " ".join(strip_tags(html).split())
    assert len(words) > len(SYSTEM.name), "an entry says something"
    assert not RAW.search(words), words


@pytest.mark.parametrize("action", sorted(timeline.kinds()))
def test_every_kind_has_a_template_of_its_own(action: str) -> None:
    get_template(f"timeline/{action}.html")
