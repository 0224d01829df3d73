"""Bytes do not vary with the machine: the budget of the queue's first view, and of what a click brings."""

from __future__ import annotations

from tests.e2e.desk import Desk
from tests.e2e.places import find_places
from tests.e2e.weight import client_of, compressed, first_view, zipped

KB = 1000
FIRST_VIEW, STYLES, SWAP = 150 * KB, 12 * KB, 15 * KB


def test_the_first_view_of_the_queue_is_light(desk: Desk) -> None:
    page = desk.sit()
    with client_of(desk, "priya") as client:
        sizes = first_view(page, client, "/alerts/")
        ours = page.locator("link[rel=stylesheet]").get_attribute("href")
        assert ours is not None
        assert set(sizes) == {"html", "css", "js", "icons"}
        assert sum(sizes.values()) <= FIRST_VIEW, sizes
        assert compressed(client, ours) <= STYLES


def test_a_swap_is_light(desk: Desk) -> None:
    places = find_places(desk)
    alert, incident = places.linked, places.incidents["investigating"]
    swaps = {
        "queue's page": "/alerts/?status=open",
        "alert's panels": f"{alert}live/",
        "incident's panels": f"{incident}live/",
        "dialog": f"{incident}observables/",
        "drawer": f"{alert}deliveries/",
        "runs": f"/runs/panel/?alert={alert.split('/')[2]}",
    }
    with client_of(desk, "priya") as client:
        headers = {"HX-Request": "true", "X-Seen": "nothing yet"}
        heavy = {name: zipped(client, path, headers=headers) for name, path in swaps.items()}
    assert max(heavy.values()) <= SWAP, heavy
