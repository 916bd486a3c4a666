from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    dependencies = [("agent_sessions", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="session",
            index=models.Index(
                Coalesce("closed_at", "expires_at"),
                condition=models.Q(status__in=["closed", "expired"]),
                name="session_ended",
            ),
        ),
    ]
