"""What webhooks answer is what the schema says, for one alert and for many; each client holds its answers against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from alerts import events, senders
from alerts.committer import committer
from alerts.events import CreatedAlert
from tests.api.clients import V1, ContractClient, _check
from tests.factories import make_token

URL = V1 + "webhooks/alerts"


@pytest.fixture
def client(fresh_database: str) -> Iterator[ContractClient]:
    """A sender, on a database of its own: the committing thread is real."""
    client = ContractClient()
    client.credentials(HTTP_X_API_KEY=make_token(["ingest"])[1])
    yield client
    committer.close()
    senders.forget()


def test_one_its_repeat_and_what_is_not_understood(client: ContractClient) -> None:
    alert = {"id": "7", "title": "Beacon", "severity": "high"}
    first = client.post(URL, alert)
    assert (first.status_code, first.json()["state"], first.json()["severity"]) == (200, "accepted", "high")
    again = client.post(URL + "/elastic", alert | {"source": "webhook"})
    assert again.json()["message"].startswith("Elastic alert ingested.")
    repeat = client.post(URL, alert).json()
    assert (repeat["duplicate"], repeat["alert_id"]) == (True, first.json()["alert_id"])
    odd = client.post(URL, "nonsense", content_type="text/plain")
    assert (odd.status_code, odd.json()["state"], odd.json()["alert_id"]) == (202, "quarantined", None)


def test_many_as_array_and_as_ndjson(client: ContractClient) -> None:
    alerts: list[Any] = [{"id": "1", "title": "a" * 501}, {"id": "1", "title": "a"}, "nonsense"]
    array = client.post(URL, json.dumps(alerts), content_type="application/json")
    assert (array.status_code, array.json()["accepted"], len(array.json()["results"])) == (200, 1, 3)
    lines = "\n".join(map(json.dumps, alerts))
    stream = client.post(URL, lines, content_type="application/x-ndjson").json()
    assert (stream["accepted"], stream["duplicates"], stream["quarantined"]) == (0, 2, 1)
    nothing = client.post(URL, "nonsense\nmore", content_type="application/x-ndjson")
    assert (nothing.status_code, nothing.json()["quarantined"]) == (202, 2)


def test_an_array_that_is_stored_in_part(client: ContractClient) -> None:
    def refuse(batch: list[CreatedAlert]) -> None:
        if any(int(one.subject["source_id"]) >= 500 for one in batch):
            raise psycopg.errors.SerializationFailure("not now")

    events.alert_created.in_transaction(refuse)
    try:
        answer = client.post(URL, [{"id": n, "title": "t" * 50} for n in range(600)], format="json")
    finally:
        events.alert_created._now.remove(refuse)
    assert (answer.status_code, answer.json()["accepted"], len(answer.json()["results"])) == (503, 500, 500)
    _check(answer, "post")
