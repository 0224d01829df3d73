"""The one row that counts registry generations."""

from django.db import migrations


def create(apps, schema_editor):
    apps.get_model("playbooks_engine", "RegistryGeneration").objects.get_or_create(id=1)


class Migration(migrations.Migration):
    dependencies = [("playbooks_engine", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop, elidable=False)]
