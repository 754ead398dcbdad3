"""Shares become parts of 1/n; limit groups can be paused, slowed down and given limits of their own."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0001_initial")]

    operations = [
        # Leases are worth seconds: they are not carried over.
        migrations.DeleteModel(name="Share"),
        migrations.CreateModel(
            name="Share",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("worker_token", models.BigIntegerField(db_index=True)),
                ("part", models.SmallIntegerField()),
                ("leased_until", models.DateTimeField()),
                (
                    "limit_group",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="shares",
                        to="delivery.limitgroup",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("limit_group", "worker_token"), name="one_share_a_worker")
                ],
            },
        ),
        migrations.CreateModel(
            name="QueuePause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sending_ip", models.CharField(blank=True, max_length=45, verbose_name="sending IP")),
                ("pace", models.FloatField(default=1.0)),
                ("pace_at", models.DateTimeField()),
                ("paused_until", models.DateTimeField(null=True, verbose_name="next attempt")),
                ("since", models.DateTimeField(verbose_name="since")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("quota", "limited by the receiving domain's quota"),
                            ("reputation", "limited by our IP's quota or reputation"),
                            ("connecting", "connecting too often"),
                            ("operator", "paused by an operator"),
                        ],
                        max_length=10,
                        verbose_name="reason",
                    ),
                ),
                ("said", models.CharField(blank=True, max_length=500)),
                ("paused_by", models.CharField(blank=True, max_length=150)),
                (
                    "limit_group",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pauses",
                        to="delivery.limitgroup",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("limit_group", "sending_ip"), name="one_pause_an_ip")
                ],
            },
        ),
        migrations.AddField("limitgroup", "connections", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="connections")),
        migrations.AddField(
            "limitgroup",
            "messages_per_connection",
            models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="messages per connection"),
        ),
        migrations.AddField("limitgroup", "rate", models.FloatField(blank=True, null=True, verbose_name="messages a second")),
        migrations.AlterField("limitgroup", "name", models.CharField(max_length=300, unique=True, verbose_name="name")),
        migrations.AddField("waiting", "logged", models.SmallIntegerField(default=0)),
    ]
