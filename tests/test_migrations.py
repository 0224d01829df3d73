"""Migrations from nothing to head, back to nothing, and forward again; what they leave is what the product relies on."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from psycopg import errors, sql
from pytest_django import DjangoDbBlocker

from alerts import services as alert_services
from incidents import services as incident_services
from incidents.suggestions import dismiss_suggestion
from opensoar.accounts.services import audit
from opensoar.embedded.postgres import ADMIN, APP, OWNER
from playbooks_engine.models import PlaybookVersion
from tests import databases
from tests.factories import SYSTEM, make_alert, make_incident, make_user, suggested
from tests.servers import Servers

# Each before what it depends on, so that taking one back takes back nothing that still has its turn.
OURS = ("playbooks_engine", "incidents", "alerts", "accounts")

# What nobody changes, whatever role: what each table refuses, and a change that it must allow all the same.
APPEND_ONLY = {
    "accounts_auditentry", "alerts_alertentry", "incidents_incidententry", "incidents_handoff",
    "incidents_handoffacknowledgement", "incidents_suggestiondismissal", "playbooks_engine_playbookversion",
}  # fmt: skip
REFUSED = dict.fromkeys(APPEND_ONLY, ("UPDATE {} SET id = id", "DELETE FROM {}")) | {
    # Its key is the handoff's.
    "incidents_handoffacknowledgement": ("UPDATE {} SET at = now()", "DELETE FROM {}"),
    "alerts_alerttext": ("UPDATE {} SET text = 'forged'",),
    "incidents_incidenttext": ("UPDATE {} SET text = 'forged'",),
    "alerts_delivery": (
        "UPDATE {} SET body = 'forged'",
        "UPDATE {} SET source = 'forged'",
        "UPDATE {} SET received_at = now()",
    ),
    "accounts_productsettings": ("DELETE FROM {}",),
}
ALLOWED = {
    "alerts_alerttext": "DELETE FROM {}",  # erasure
    "incidents_incidenttext": "DELETE FROM {}",
    "alerts_delivery": "UPDATE {} SET state = 'replayed'",
    "accounts_productsettings": "UPDATE {} SET suggestion_days = 3",
}


@pytest.fixture(scope="module")
def empty(servers: Servers, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The name of an empty database that Django uses as the owner of its tables."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with django_db_blocker.unblock(), databases.empty(servers, name):
        yield name
    databases.drop(servers, name)


def migrate(*target: str) -> None:
    call_command("migrate", *target, verbosity=0, interactive=False)


def shape(servers: Servers, name: str) -> dict[str, set[tuple[object, ...]]]:
    """What PostgreSQL says the database holds, apart from Django's own tables of apps that are not ours."""
    questions = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_schema = 'public'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "grants": "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants "
        "WHERE table_schema = 'public'",
        "sequences": "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'",
    }
    with psycopg.connect(servers.url(ADMIN, name)) as admin:
        return {kind: set(admin.execute(question).fetchall()) for kind, question in questions.items()}


def test_every_app_goes_back_to_nothing_and_forward_to_the_same_database(
    servers: Servers, empty: str
) -> None:
    migrate()
    first = shape(servers, empty)
    for app in OURS:
        migrate(app, "zero")
        left = {str(row[0]) for row in shape(servers, empty)["columns"]}
        assert not {table for table in left if table.startswith(f"{app}_")}, f"{app} leaves tables behind"
    assert ("incidents_incident_number",) not in shape(servers, empty)["sequences"]
    migrate()
    again = shape(servers, empty)
    for kind, rows in first.items():
        assert again[kind] == rows, f"{kind} differ"


def test_models_and_migrations_agree(empty: str) -> None:
    with suppress(SystemExit):
        call_command("makemigrations", *OURS, dry_run=True, check=True, verbosity=0)
        return
    pytest.fail("a model changed and no migration says so: run manage.py makemigrations")


@pytest.mark.parametrize("app", OURS)
def test_every_app_has_one_last_migration_and_numbers_in_a_row(app: str) -> None:
    loader = MigrationLoader(None)
    names = sorted(name for label, name in loader.disk_migrations if label == app)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1)), "two of one number, or a gap"
    assert len(loader.graph.leaf_nodes(app)) == 1, "two migrations claim to be the last"
    assert not [name for name in names if re.fullmatch(r"\d{4}_auto_.*", name)], "give migrations a name"


def test_the_table_of_this_test_names_every_model_with_a_protection() -> None:
    protected = {
        model._meta.db_table for model in apps.get_models() if getattr(model._meta, "triggers", None)
    }
    assert protected == set(REFUSED), "a protected table needs an entry in REFUSED"


@pytest.fixture
def evidence(fresh_database: str) -> None:
    """One row in every protected table."""
    ada, grace = make_user("ada"), make_user("grace")
    alerts = [make_alert(source_ip="203.0.113.7") for _ in range(2)]
    alert_services.comment_alert(actor=ada.actor, alert=alerts[0], text="seen")
    dismiss_suggestion(actor=ada.actor, suggestion_id=suggested()[0].id, reason="no")
    incident = make_incident()
    note = incident_services.hand_off(actor=ada.actor, incident=incident, to_user=grace, text="yours")
    incident_services.acknowledge_handoff(actor=grace.actor, handoff=note)
    audit(actor=SYSTEM, action="seeded")
    PlaybookVersion.objects.create(source_hash="0" * 64, entry="a.py", sources={"a.py": ""})


@pytest.mark.parametrize("role", [APP, OWNER])
def test_evidence_is_refused_every_change_to_application_and_owner_alike(
    servers: Servers, evidence: None, role: str
) -> None:
    with psycopg.connect(servers.url(role, connection.settings_dict["NAME"]), autocommit=True) as session:
        for table, changes in REFUSED.items():
            count = session.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            ).fetchone()
            assert count is not None, table
            assert count[0] > 0, (
                f"the fixture evidence makes no row of {table}: the refusal would prove nothing"
            )
            for change in changes:
                with pytest.raises(errors.RaiseException, match="Cannot"):
                    session.execute(sql.SQL(change).format(sql.Identifier(table)))
        for table, change in ALLOWED.items():
            assert session.execute(sql.SQL(change).format(sql.Identifier(table))).rowcount > 0, table


def test_the_application_has_the_rights_to_work_and_none_to_get_around_the_protections(
    servers: Servers, fresh_database: str
) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as session:
        tables = [
            row[0] for row in session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        assert set(REFUSED) < set(tables)
        held = session.execute(
            "SELECT t, p FROM unnest(%s::text[]) t, "
            "unnest(array['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','TRIGGER','REFERENCES']) p "
            "WHERE has_table_privilege(t::regclass, p)",
            (tables,),
        ).fetchall()
        assert set(held) == {(t, p) for t in tables for p in ("SELECT", "INSERT", "UPDATE", "DELETE")}
        assert session.execute("SELECT nextval('incidents_incident_number')").fetchone() == (1001,)
        for trick in (
            "TRUNCATE alerts_alertentry",
            "ALTER TABLE alerts_alertentry DISABLE TRIGGER ALL",
            "DROP TABLE alerts_alertentry",
            "SET session_replication_role = replica",
            "CREATE TABLE mine (id int)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute(trick)
