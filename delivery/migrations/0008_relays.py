"""Relays of sender domains; whose certificate it was, with each attempt."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("delivery", "0007_credits")]

    operations = [
        migrations.AddField(
            model_name='attempt',
            name='certificate',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AlterField(
            model_name='queuepause',
            name='reason',
            field=models.CharField(choices=[('quota', "limited by the receiving domain's quota"), ('reputation', "limited by our IP's quota or reputation"), ('connecting', 'connecting too often'), ('relay', 'the relay takes nothing from us now'), ('operator', 'paused by an operator')], max_length=10, verbose_name='reason'),
        ),
        migrations.CreateModel(
            name='Relay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=253, verbose_name='host')),
                ('port', models.PositiveIntegerField(default=587, verbose_name='port')),
                ('tls', models.CharField(choices=[('required', 'STARTTLS'), ('implicit', 'TLS from the start'), ('off', 'None')], default='required', max_length=10, verbose_name='encryption')),
                ('check_certificate', models.BooleanField(default=True, verbose_name='check the certificate')),
                ('login', models.CharField(blank=True, max_length=200, verbose_name='login')),
                ('password', models.BinaryField(default=b'')),
                ('changed_at', models.DateTimeField(auto_now=True, verbose_name='changed')),
                ('domain', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='relay', to='delivery.senderdomain')),
            ],
            options={
                'verbose_name': 'relay',
                'verbose_name_plural': 'relays',
                'ordering': ['domain'],
            },
        ),
    ]
