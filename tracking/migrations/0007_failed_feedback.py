from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # The index is made while mail comes in.
    atomic = False

    dependencies = [
        ('tracking', '0006_event_response'),
    ]

    operations = [
        migrations.AddField(
            model_name='feedbackmail',
            name='error',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='error'),
        ),
        AddIndexConcurrently(
            model_name='feedbackmail',
            index=models.Index(condition=models.Q(('state', 2)), fields=['id'], name='feedback_failed'),
        ),
    ]
