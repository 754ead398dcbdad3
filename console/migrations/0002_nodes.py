"""The node numbers that ids are made with: all free."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("console", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "INSERT INTO console_node (number, token, leased_until) "
            "SELECT number, '', '2020-01-01Z' FROM generate_series(0, 1023) number",
            "DELETE FROM console_node",
        )
    ]
