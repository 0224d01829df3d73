"""Comments on an alert: written, edited, never overwritten."""

import pytest

from alerts import services
from alerts.models import AlertEntry
from opensoar.errors import Invalid, NotAllowed, NotFound
from tests.factories import SYSTEM, actions, entries, make_alert, make_partner, make_user, text_of
from tests.threads import at_once


@pytest.mark.django_db
def test_service_comments():
    alert, ada = make_alert(), make_user("ada")
    before = alert.updated_at
    entry = services.comment_alert(actor=ada.actor, alert=alert, text="  **seen** it \x00", metadata={"n": 1})
    assert (entry.action, entry.seq, entry.payload) == ("comment", 1, {"metadata": {"n": 1}})
    assert text_of(entry) == "**seen** it \ufffd"
    alert.refresh_from_db()
    assert alert.version == 1, "a comment must not make somebody's open form stale"
    assert alert.updated_at > before


@pytest.mark.django_db
def test_service_mentions_those_who_may_see_it():
    ours, theirs = make_partner(), make_partner()
    (
        make_user("Ada", partners=[ours]),
        make_user("bob"),
        make_user("eve", partners=[theirs]),
        make_user("off", is_active=False),
    )
    alert = make_alert(partner=ours)
    entry = services.comment_alert(
        actor=SYSTEM, alert=alert, text="@ada, @Bob. @eve @off @ghost mail@bob.example (@ada)"
    )
    assert entry.mentions == ["Ada", "bob"]


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", " \n", "x" * 20_001, None, 5])
def test_service_wants_words(text):
    with pytest.raises(Invalid) as refusal:
        services.comment_alert(actor=SYSTEM, alert=make_alert(), text=text)
    assert refusal.value.field == "text"


@pytest.mark.django_db
def test_service_edits_keep_every_version():
    alert, ada = make_alert(), make_user()
    first = services.comment_alert(actor=ada.actor, alert=alert, text="v1")
    second = services.edit_comment(actor=ada.actor, alert=alert, entry_id=first.pk, text="v2")
    third = services.edit_comment(actor=ada.actor, alert=alert, entry_id=str(second.pk), text="v3")
    assert (second.supersedes, third.supersedes) == (first.pk, first.pk)
    assert [text_of(entry) for entry in entries(alert)] == ["v1", "v2", "v3"]
    assert third.occurred_at == first.occurred_at


@pytest.mark.django_db
def test_service_same_text_again_changes_nothing():
    alert, ada = make_alert(), make_user()
    first = services.comment_alert(actor=ada.actor, alert=alert, text="v1")
    edit = services.edit_comment(actor=ada.actor, alert=alert, entry_id=first.pk, text="v2")
    assert services.edit_comment(actor=ada.actor, alert=alert, entry_id=first.pk, text="v2") == edit
    assert len(actions(alert)) == 2


@pytest.mark.django_db
def test_service_only_the_author_edits():
    alert, ada = make_alert(), make_user()
    entry = services.comment_alert(actor=ada.actor, alert=alert, text="mine")
    for other in (make_user(role="admin").actor, SYSTEM):
        with pytest.raises(NotAllowed, match="Can only edit your own comments"):
            services.edit_comment(actor=other, alert=alert, entry_id=entry.pk, text="hers")


@pytest.mark.django_db
def test_service_only_comments_of_this_alert():
    alert, other, ada = make_alert(), make_alert(), make_user()
    services.claim_alert(actor=ada.actor, alert=alert)
    elsewhere = services.comment_alert(actor=ada.actor, alert=other, text="x")
    for entry_id in (entries(alert)[0].pk, elsewhere.pk, "not-an-id"):
        with pytest.raises(NotFound, match="Comment not found"):
            services.edit_comment(actor=ada.actor, alert=alert, entry_id=entry_id, text="y")


def test_service_comments_at_once_get_consecutive_numbers(fresh_database):
    alert = make_alert()
    outcomes = at_once(
        [
            lambda n=n: services.comment_alert(actor=SYSTEM, alert=alert, text=f"comment {n}")
            for n in range(12)
        ]
    )
    assert all(isinstance(outcome, AlertEntry) for outcome in outcomes)
    assert [entry.seq for entry in entries(alert)] == list(range(1, 13))
    assert len({text_of(entry) for entry in entries(alert)}) == 12
