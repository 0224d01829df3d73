"""The queue is read from an index in its own order: no list may sort a million rows to show fifty."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from alerts import pages
from alerts.filters import AlertFilter
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.actors import Actor

EVERYBODY = Actor.system("a test of plans")
ONE_PARTNER = replace(EVERYBODY, partner_ids=frozenset({DEFAULT_PARTNER_ID}))


@pytest.mark.parametrize(
    ("actor", "asked", "index"),
    [
        (EVERYBODY, {}, "alert_open_"),
        (EVERYBODY, {"status": "open", "severity": ["high"]}, "alert_open_"),
        (EVERYBODY, {"status": ""}, "alert_severity"),
        (ONE_PARTNER, {}, "alert_open_"),
    ],
)
def test_a_page_of_the_queue_sorts_nothing(
    db: None, actor: Actor, asked: dict[str, str | list[str]], index: str
) -> None:
    page = AlertFilter(asked, queryset=pages.queue(actor)).qs[:50]
    with connection.cursor() as cursor:  # an empty table tempts to read and sort all of it
        for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
    plan = page.explain()
    assert f"Index Scan using {index}" in plan, plan
    assert "Sort" not in plan, plan
