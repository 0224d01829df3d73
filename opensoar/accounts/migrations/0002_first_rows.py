"""The rows that every installation has: the default partner and the settings."""

from uuid import UUID

from django.db import migrations


def create(apps, schema_editor):
    apps.get_model("accounts", "Partner").objects.get_or_create(
        id=UUID("00000000-0000-7000-8000-000000000001"), defaults={"slug": "default", "name": "Default"}
    )
    apps.get_model("accounts", "ProductSettings").objects.get_or_create(id=1)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop, elidable=False)]
