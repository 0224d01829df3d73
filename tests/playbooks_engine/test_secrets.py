"""Secrets of playbooks: sealed, write-only, read by the runs that may, and hidden in whatever these leave behind."""

from __future__ import annotations

import base64
import io
import json
import re
import string
from urllib.parse import quote, quote_plus

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings

from opensoar.accounts.models import DEFAULT_PARTNER_ID, AuditEntry
from opensoar.crypto import SecretsError
from opensoar.errors import Invalid, NotAllowed, NotFound
from playbooks_engine.masking import Mask, NoSuchSecret
from playbooks_engine.models import Secret
from playbooks_engine.secrets import delete_secret, describe_secret, secrets_for, set_secret
from tests.factories import SYSTEM, make_partner, make_user

db = pytest.mark.django_db
VALUE = "s3cr3t-väl/ue+ \"'\\"

# --- the rows --------------------------------------------------------------------------------------------------------


@db
def test_a_secret_is_sealed_and_read_back() -> None:
    secret = set_secret(actor=SYSTEM, name="vt.api-key", value=VALUE)
    assert VALUE.encode() not in bytes(secret.value)
    assert secrets_for(DEFAULT_PARTNER_ID)["vt.api-key"] == VALUE


@db
def test_a_partners_own_comes_first_and_nobody_elses_is_there(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    own, other = make_partner(), make_partner()
    set_secret(actor=SYSTEM, name="key", value="of-own-partner", partner=own)
    set_secret(actor=SYSTEM, name="key", value="of-everybody")
    set_secret(actor=SYSTEM, name="foreign", value="of-the-other", partner=other)
    with django_assert_num_queries(1):
        found = secrets_for(own.pk)
        assert found["key"] == "of-own-partner"
    assert secrets_for(other.pk)["key"] == "of-everybody"
    assert sorted(found) == ["key"]
    with pytest.raises(
        NoSuchSecret, match=r"there is no secret 'kye' \(did you mean 'key'\?\).*set_secret kye"
    ):
        found["kye"]
    with pytest.raises(LookupError):
        found["foreign"]


@db
def test_values_are_opened_only_when_they_are_read(settings: Settings) -> None:
    set_secret(actor=SYSTEM, name="one", value="value-one")
    set_secret(actor=SYSTEM, name="two", value="value-two")
    Secret.objects.filter(name="two").update(value=Secret.objects.get(name="one").value)
    found = secrets_for(DEFAULT_PARTNER_ID)
    assert found["one"] == "value-one"
    with pytest.raises(SecretsError, match="The secret 'two' cannot be read"):
        found["two"]
    settings.SECRETS_KEY = ""
    with pytest.raises(SecretsError, match="OPENSOAR_SECRETS_KEY"):
        found["one"]


@db
def test_setting_it_again_replaces_it_and_the_audit_trail_never_holds_a_value() -> None:
    first = set_secret(actor=SYSTEM, name="key", value="the-first-value", description="for tests")
    second = set_secret(actor=SYSTEM, name="key", value="the-second-value")
    assert (second.pk, second.version, second.description) == (first.pk, 2, "for tests")
    assert secrets_for(DEFAULT_PARTNER_ID)["key"] == "the-second-value"
    describe_secret(actor=SYSTEM, secret=second, description="other words")
    describe_secret(actor=SYSTEM, secret=second, description="other words")
    delete_secret(actor=SYSTEM, secret=second)
    assert not Secret.objects.exists()
    entries = list(AuditEntry.objects.order_by("id").values_list("action", "detail"))
    assert [action for action, _ in entries] == [
        "secret_created", "secret_changed", "secret_changed", "secret_deleted",
    ]  # fmt: skip
    assert entries[1][1] == {"name": "key", "partner": None, "fields": ["value"]}
    assert "value" not in str(entries).replace("'value'", "")


@db
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("", "long enough", "1 to 100 letters"),
        ("no spaces", "long enough", "1 to 100 letters"),
        ("x" * 101, "long enough", "1 to 100 letters"),
        ("key\n", "long enough", "1 to 100 letters"),
        ("key", "short", "6 to 32768 characters"),
        ("key", "x" * 32_769, "6 to 32768 characters"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(name: str, value: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        set_secret(actor=SYSTEM, name=name, value=value)
    assert not Secret.objects.exists()


@db
def test_without_a_key_it_says_what_to_do(settings: Settings) -> None:
    settings.SECRETS_KEY = ""
    with pytest.raises(Invalid, match="Set OPENSOAR_SECRETS_KEY"):
        set_secret(actor=SYSTEM, name="key", value="long enough")


@db
def test_who_is_bound_to_a_partner_writes_only_its_own() -> None:
    own, other = make_partner(), make_partner()
    bound = make_user(role="admin", partners=[own]).actor
    everybodys = set_secret(actor=SYSTEM, name="shared", value="of-everybody")
    foreign = set_secret(actor=SYSTEM, name="foreign", value="of-the-other", partner=other)
    assert set_secret(actor=bound, name="mine", value="of-own-partner").partner == own
    assert set_secret(actor=bound, name="shared", value="of-own-partner").partner == own
    with pytest.raises(NotAllowed):
        delete_secret(actor=bound, secret=everybodys)
    with pytest.raises(NotFound):
        delete_secret(actor=bound, secret=foreign)
    with pytest.raises(Invalid, match="Unknown partner"):
        set_secret(actor=bound, name="x", value="long enough", partner=other)
    with pytest.raises(NotAllowed):
        set_secret(actor=make_user(role="admin", partners=[own, other]).actor, name="x", value="long enough")
    assert secrets_for(other.pk)["shared"] == "of-everybody"


# --- the doors -------------------------------------------------------------------------------------------------------


@db
def test_the_admin_takes_a_value_and_never_shows_it(client: Client) -> None:
    client.force_login(make_user("root", role="admin"))
    add = reverse("admin:playbooks_engine_secret_add")
    data = {"name": "key", "description": "for tests", "new_value": "typed-value"}
    assert client.post(add, data).status_code == 302
    secret = Secret.objects.get()
    change = reverse("admin:playbooks_engine_secret_change", args=[secret.pk])
    pages = (
        client.get(change).content + client.get(reverse("admin:playbooks_engine_secret_changelist")).content
    )
    assert b"key" in pages
    assert b"typed-value" not in pages
    assert client.post(change, {"description": "other words", "new_value": ""}).status_code == 302
    assert secrets_for(DEFAULT_PARTNER_ID)["key"] == "typed-value"
    assert client.post(change, {"name": "renamed", "description": "other words", "new_value": "typed-again"})
    secret.refresh_from_db()
    assert (secret.name, secret.description, secret.version) == ("key", "other words", 3)
    assert secrets_for(DEFAULT_PARTNER_ID)["key"] == "typed-again"
    assert "6 to 32768" in client.post(add, {"name": "other", "new_value": "short"}).content.decode()
    assert client.post(add, data).status_code == 200, "a name is taken once"
    delete = reverse("admin:playbooks_engine_secret_delete", args=[secret.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert AuditEntry.objects.filter(action="secret_deleted").count() == 1


@db
def test_the_admin_is_for_those_who_manage_integrations_and_their_partners(client: Client) -> None:
    own, other = make_partner("own"), make_partner("other")
    foreign = set_secret(actor=SYSTEM, name="foreign", value="of-the-other", partner=other)
    shared = set_secret(actor=SYSTEM, name="shared", value="of-everybody")
    client.force_login(make_user(role="admin", partners=[own]))
    page = client.get(reverse("admin:playbooks_engine_secret_changelist")).content.decode()
    assert "shared" in page
    assert "foreign" not in page
    url = reverse("admin:playbooks_engine_secret_change", args=[shared.pk])
    assert client.post(url, {"new_value": "overwritten"}).status_code == 403
    url = reverse("admin:playbooks_engine_secret_change", args=[foreign.pk])
    assert client.post(url, {"new_value": "overwritten"}).status_code == 302, "to the index: it is not there"
    assert secrets_for(other.pk)["shared"] == "of-everybody"
    assert secrets_for(other.pk)["foreign"] == "of-the-other"


@db
def test_the_command_reads_the_value_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    partner = make_partner("acme")
    monkeypatch.setattr("sys.stdin", io.StringIO("line one\nline two\n"))
    out = io.StringIO()
    call_command("set_secret", "pem", "--partner", "acme", stdout=out)
    assert secrets_for(partner.pk)["pem"] == "line one\nline two"
    assert secrets_for(DEFAULT_PARTNER_ID).get("pem") is None
    assert out.getvalue() == "secret pem stored, version 1, for runs of acme\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("long enough"))
    with pytest.raises(CommandError, match="Unknown partner"):
        call_command("set_secret", "pem", "--partner", "acmee")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(CommandError, match="6 to 32768"):
        call_command("set_secret", "pem")


# --- the mask --------------------------------------------------------------------------------------------------------


def _mask(**values: str) -> Mask:
    mask = Mask()
    for name, value in values.items():
        mask.add(name, value)
    return mask


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        json.dumps({"key": VALUE}),
        json.dumps({"key": VALUE}, ensure_ascii=False),
        json.dumps(json.dumps({"key": VALUE})),
        orjson.dumps([VALUE]).decode(),
        repr(VALUE),
        repr({"key": VALUE}),
        ascii(VALUE),
        repr(f"\"{VALUE}'"),
        str(VALUE.encode()),
        f"https://host/{quote(VALUE)}?key={quote_plus(VALUE)}&again={quote(VALUE, safe='')}",
        re.sub("%..", lambda found: found[0].lower(), quote(VALUE, safe="")),
    ],
)
def test_every_way_to_write_a_value_is_masked(written: str) -> None:
    masked = _mask(key=VALUE).text(f"<{written}>")
    assert "••••(key)" in masked
    assert "s3cr3t" not in masked


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("value", ["hunter2-hunter2", "ÿÿÿÿ>>>???"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_masked_wherever_the_value_begins(before: str, value: str, encode: object) -> None:
    encoded = encode(f"{before}{value} and more".encode()).decode()  # type: ignore[operator]
    masked = _mask(key=value).text(f"Authorization: Basic {encoded}")
    assert "••••(key)" in masked
    core = base64.b64encode((b"\0" * (len(before) % 3)) + value.encode()).decode()[4:-4]
    assert core not in masked.replace("-", "+").replace("_", "/")


def test_values_in_one_another_go_as_one_and_overlaps_whole() -> None:
    mask = _mask(short="abcdef", long="xxabcdefyy", tail="efyyzz")
    assert mask.text("1 xxabcdefyy 2 abcdef 3") == "1 ••••(long) 2 ••••(short) 3"
    assert mask.text("xxabcdefyyzz") == "••••(long)"


def test_a_name_that_is_the_value_is_not_shown_and_a_mask_spells_no_value() -> None:
    assert _mask(password="password").text("is password") == "is ••••(••••)"
    assert ")abcde" not in _mask(a="AAAAAA", b=")abcde").text("AAAAAAabcde")


def test_json_stays_json() -> None:
    mask = _mask(pin="123456", comma='","b":"', key="tok-tok-tok")
    text = '{"a":1123456.5,"n":123456,"b":"x","tok-tok-tok":["tok-tok-tok",true,null,7]}'
    assert json.loads(mask.json(text)) == {
        "a": "1••••(pin).5", "n": "••••(pin)", "b": "x", "••••(key)": ["••••(key)", True, None, 7],
    }  # fmt: skip
    untouched = '{"b":"x","a":1.0}'
    assert mask.json(untouched) == untouched
    assert Mask().json("not even JSON") == "not even JSON"


def test_it_takes_no_time_to_speak_of() -> None:
    mask = _mask(a="a" * 32_768, b="ab" * 3_000)
    text = ("a" * 32_767 + "b") * 60  # 2 MB that nearly match everywhere
    assert len(mask.text(text)) > 0


WORDS = st.text(alphabet="ab)(•\"'\\%é\n" + string.digits[:2], min_size=6, max_size=12)
NAMES = st.text(alphabet="ab.", min_size=1, max_size=8)


@given(st.dictionaries(NAMES, WORDS, max_size=3), st.lists(st.one_of(WORDS, st.integers(0, 2)), max_size=8))
def test_no_output_holds_a_value_and_masking_twice_is_masking_once(
    values: dict[str, str], pieces: list[str | int]
) -> None:
    mask = _mask(**values)
    known = list(values.values())
    text = "".join(
        piece if isinstance(piece, str) else known[piece] if piece < len(known) else "" for piece in pieces
    )
    masked = mask.text(text)
    assert not any(value in masked for value in known)
    assert mask.text(masked) == masked
    if not any(value in text for value in known) and "•" not in masked:
        assert masked == text
    encoded = mask.json(orjson.dumps({"text": text, "list": [text, 101010]}).decode())
    decoded = orjson.loads(encoded)
    assert decoded["text"] == masked
    assert not any(value in str(decoded["list"][1]) for value in known)
    assert mask.json(encoded) == encoded


@given(st.text(max_size=60), st.text(alphabet=string.ascii_letters, min_size=20, max_size=40))
def test_text_without_secrets_is_unchanged(text: str, value: str) -> None:
    if value not in text:
        assert _mask(name=value).text(text) == text
    assert Mask().text(text) is text
