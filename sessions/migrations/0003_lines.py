from django.db import migrations, models
from django.db.models.functions import Coalesce

# Every message so far is on the one line that its session has: the first checkpoint that counts it brought it.
_STEPS = """
UPDATE messages m SET step = coalesce((
    SELECT c.step FROM checkpoints c WHERE c.session_id = m.session_id AND c.message_count >= m.seq
    ORDER BY c.step LIMIT 1), 0)
"""


class Migration(migrations.Migration):
    dependencies = [("agent_sessions", "0002_session_ended")]

    operations = [
        migrations.RemoveConstraint(model_name="message", name="message_seq_once"),
        migrations.AddField(
            model_name="message", name="dropped_at_step", field=models.PositiveIntegerField(null=True)
        ),
        migrations.AddField(model_name="message", name="step", field=models.PositiveIntegerField(db_default=0)),
        migrations.RunSQL(_STEPS, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(
                "session", "seq", Coalesce("dropped_at_step", 0), name="message_seq_once"
            ),
        ),
    ]
