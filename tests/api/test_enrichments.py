"""What sources say about an observable, by REST."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.models import Observable, ObservableEnrichment
from alerts.services import add_enrichment, create_observable
from opensoar.errors import Invalid
from tests.api.clients import V1, client_of
from tests.factories import SYSTEM, make_partner, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def observable() -> Observable:
    return create_observable(actor=SYSTEM, type="domain", value="evil.com")


def test_a_source_says_one_thing_at_a_time(observable: Observable) -> None:
    client, url = client_of(make_user()), f"{V1}observables/{observable.pk}"
    said = {"source": "vt", "data": {"hits": 3}, "malicious": True, "score": 87.5}
    answer = client.post(url + "/enrichments", said)
    assert (answer.status_code, answer.json()["enrichment_status"]) == (200, "enriched")
    assert answer.json()["enrichments"] == [said]
    client.post(url + "/enrichments", {"source": "misp", "data": {}})
    again = client.post(url + "/enrichments", {"source": "vt", "data": {"hits": 0}}).json()
    assert again["enrichments"] == [
        {"source": "misp", "data": {}, "malicious": False, "score": None},
        {"source": "vt", "data": {"hits": 0}, "malicious": False, "score": None},
    ]
    assert client.get(url).json() == again


def test_forgetting(observable: Observable) -> None:
    client, url = client_of(make_user()), f"{V1}observables/{observable.pk}"
    for source in ("vt", "a/b c"):
        client.post(url + "/enrichments", {"source": source, "data": {}})
    gone = client.delete(url + "/enrichments/vt")
    assert (gone.status_code, gone.json()) == (
        200,
        {"observable_id": str(observable.pk), "source": "vt", "cache_cleared": 1, "records_removed": 1},
    )
    assert client.delete(url + "/enrichments/vt").json()["records_removed"] == 0
    assert client.get(url).json()["enrichment_status"] == "enriched"
    assert client.delete(url + "/enrichments/a%2Fb%20c").json()["records_removed"] == 1
    assert client.get(url).json()["enrichment_status"] == "pending"
    assert not ObservableEnrichment.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {}, {"source": "vt"}, {"data": {}}, {"source": "vt", "data": []}, {"source": "vt", "data": "x"},
        {"source": 5, "data": {}}, {"source": "", "data": {}}, {"source": "x" * 101, "data": {}},
        {"source": "vt", "data": {}, "malicious": "yes"}, {"source": "vt", "data": {}, "score": "high"},
        {"source": "vt", "data": {}, "score": True}, {"source": "vt", "data": {}, "score": "inf"},
        {"source": "vt", "data": {}, "verdict": "bad"},
    ],
)  # fmt: skip
def test_what_makes_no_sense(observable: Observable, body: dict[str, Any]) -> None:
    url = f"{V1}observables/{observable.pk}/enrichments"
    assert client_of(make_user()).post(url, body).status_code == 422
    assert not ObservableEnrichment.objects.exists()


@pytest.mark.parametrize(
    "body", ['{"source": "vt", "data": {"n": 1e400}}', '{"source": "vt", "data": {}, "score": NaN}']
)
def test_what_is_no_json(observable: Observable, body: str) -> None:
    url = f"{V1}observables/{observable.pk}/enrichments"
    assert client_of(make_user()).post(url, body, content_type="application/json").status_code == 400


@pytest.mark.parametrize("given", [{"data": {"n": float("nan")}}, {"data": {}, "score": float("inf")}])
def test_service_takes_no_number_that_is_none(observable: Observable, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        add_enrichment(actor=SYSTEM, observable=observable, source="vt", **given)


def test_those_of_other_partners_are_not_there() -> None:
    foreign = create_observable(actor=SYSTEM, type="domain", value="evil.com", partner=make_partner())
    client, url = client_of(make_user(partners=[make_partner()])), f"{V1}observables/{foreign.pk}/enrichments"
    assert client.post(url, {"source": "vt", "data": {}}).status_code == 404
    assert client.delete(url + "/vt").status_code == 404
