"""Who may do what to alerts, observables and deliveries by REST: nobody, each role, each scope of a token."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from alerts.models import Delivery
from alerts.services import create_observable
from tests.api.clients import V1, ContractClient, client_of
from tests.factories import SYSTEM, make_alert, make_token, make_user

pytestmark = pytest.mark.django_db

READS = [
    ("get", "alerts"), ("get", "alerts/{alert}"), ("get", "alerts/{alert}/activities"),
    ("get", "alerts/{alert}/observables"), ("get", "observables"), ("get", "observables/{observable}"),
    ("post", "observables/parse"), ("get", "deliveries"), ("get", "deliveries/{delivery}"),
]  # fmt: skip
WRITES = [
    ("patch", "alerts/{alert}"), ("delete", "alerts/{alert}"), ("post", "alerts/{alert}/claim"),
    ("post", "alerts/{alert}/assign"), ("post", "alerts/{alert}/resolve"), ("post", "alerts/{alert}/reopen"),
    ("post", "alerts/bulk"), ("post", "alerts/{alert}/comments"), ("patch", "alerts/{alert}/comments/{alert}"),
    ("post", "alerts/{alert}/observables"), ("post", "observables"), ("post", "observables/{observable}/enrichments"),
    ("delete", "observables/{observable}/enrichments/vt"), ("post", "deliveries/{delivery}/replay"),
]  # fmt: skip


def refused(client: APIClient) -> set[tuple[str, str]]:
    """The paths that answer 403; every other answer means that the caller may, whatever the empty body lacks."""
    alert = make_alert()
    observable = create_observable(actor=SYSTEM, type="ip", value="9.9.9.9")
    ids: dict[str, Any] = {
        "alert": alert.pk,
        "observable": observable.pk,
        "delivery": Delivery.objects.of_alert(alert.pk).get().pk,
    }
    answers = {
        # The alert is deleted last.
        (method, path): getattr(client, method)(V1 + path.format(**ids), {} if method != "get" else None)
        for method, path in sorted(READS + WRITES, key=lambda one: one[0] == "delete")
    }
    assert {answer.status_code for answer in answers.values()} <= {200, 201, 401, 403, 404, 409, 422}
    return {key for key, answer in answers.items() if answer.status_code == 403}


@pytest.mark.parametrize("role", ["analyst", "lead", "admin"])
def test_who_works_alerts_may_do_all(role: str) -> None:
    assert refused(client_of(make_user(role=role))) == set()


@pytest.mark.parametrize("role", ["viewer", "playbook_author"])
def test_who_reads_may_read(role: str) -> None:
    assert refused(client_of(make_user(role=role))) == set(WRITES)


@pytest.mark.parametrize(
    ("scopes", "denied"),
    [
        (["read"], WRITES),
        (["read", "write"], [("post", "alerts/{alert}/claim")]),
        (["ingest"], READS + WRITES),
        (["respond"], READS + WRITES),
        (["admin"], [("post", "alerts/{alert}/claim")]),  # a machine owns nothing
    ],
)
def test_scopes_of_tokens(scopes: list[str], denied: list[tuple[str, str]]) -> None:
    _token, text = make_token(scopes)
    client = ContractClient()
    client.credentials(HTTP_X_API_KEY=text)
    assert refused(client) == set(denied)


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_nobody_may_nothing(method: str, path: str) -> None:
    url = V1 + path.format(alert="x", observable="x", delivery="x")
    answer = getattr(APIClient(), method)(url)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Authentication required"})
