"""One alert by REST: what was received last, as it was understood."""

from __future__ import annotations

import pytest

from alerts.models import Delivery
from tests.api.clients import V1, client_of
from tests.factories import make_alert, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"n": 2}', "application/json", {"n": 2}),
        (b"payload=%7B%22n%22%3A+3%7D", "application/x-www-form-urlencoded", {"n": 3}),
        (b"no object at all", "text/plain", "no object at all"),
    ],
)
def test_raw_payload_is_the_latest_delivery(body: bytes, content_type: str, expected: object) -> None:
    alert = make_alert(payload={"n": 1})
    client = client_of(make_user())
    assert client.get(f"{V1}alerts/{alert.pk}").json()["raw_payload"] == {"n": 1}
    Delivery.objects.create(
        partner_id=alert.partner_id,
        alert_id=alert.pk,
        source=alert.source,
        state="duplicate",
        body=body,
        content_type=content_type,
    )
    assert client.get(f"{V1}alerts/{alert.pk}").json()["raw_payload"] == expected
