"""create_admin and create_token, as a person or a script calls them."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from opensoar.accounts.models import User
from opensoar.accounts.services import authenticate_token
from tests.factories import make_partner

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_create_admin():
    password = run("create_admin", "--username", "alice").strip().rpartition("once): ")[2]
    assert User.objects.get(username="alice").check_password(password)
    assert "keeps its password" in run("create_admin", "--username", "alice")
    assert json.loads(run("create_admin", "--username", "alice", "--json")) == {
        "username": "alice",
        "password": None,
        "created": False,
    }


def test_create_admin_takes_the_password_of_the_environment(monkeypatch):
    monkeypatch.setenv("OPENSOAR_ADMIN_PASSWORD", "a password of our own")
    run("create_admin")
    assert User.objects.get().check_password("a password of our own")
    monkeypatch.setenv("OPENSOAR_ADMIN_PASSWORD", "short")
    with pytest.raises(CommandError, match="too short"):
        run("create_admin", "--username", "bob")


def test_create_token():
    acme = make_partner("acme")
    answer = json.loads(
        run(
            "create_token",
            "siem",
            "--scope",
            "ingest",
            "--scope",
            "read",
            "--partner",
            "acme",
            "--source",
            "elastic",
            "--json",
        )
    )
    token = authenticate_token(answer["token"])
    assert (str(token.pk), token.scopes, token.partner, token.source) == (
        answer["id"],
        ["ingest", "read"],
        acme,
        "elastic",
    )
    assert authenticate_token(run("create_token", "x", "--scope", "admin").strip().rpartition(": ")[2])
    with pytest.raises(CommandError, match="ingest, read, write, respond, admin"):
        run("create_token", "x", "--scope", "root")


@pytest.mark.parametrize("command", ["create_admin", "create_token"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit):
        call_command(command, "--help")
    assert "Example: manage.py" in " ".join(capsys.readouterr().out.split())
