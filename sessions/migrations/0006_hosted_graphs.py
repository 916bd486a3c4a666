import core.clock
import core.models
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_alert_emails'),
        ('agent_sessions', '0005_subagents'),
        ('assistants', '0003_immutable_versions'),
    ]

    operations = [
        migrations.CreateModel(
            name='GraphCheckpoint',
            fields=[
                ('pk', models.CompositePrimaryKey('session', 'namespace', 'checkpoint_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('session', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='agent_sessions.session')),
                ('namespace', models.TextField(help_text='Empty for the graph itself.')),
                ('checkpoint_id', models.UUIDField()),
                ('parent_id', models.UUIDField(null=True)),
                ('run_id', models.UUIDField(null=True)),
                ('document', core.models.WrittenField(help_text='`channel_versions` names the values.')),
                ('metadata', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(db_default=core.clock.ClockTimestamp(), editable=False)),
            ],
            options={
                'db_table': 'graph_checkpoints',
            },
        ),
        migrations.CreateModel(
            name='GraphValue',
            fields=[
                ('pk', models.CompositePrimaryKey('session', 'namespace', 'channel', 'version', blank=True, editable=False, primary_key=True, serialize=False)),
                ('session', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='agent_sessions.session')),
                ('namespace', models.TextField()),
                ('channel', models.TextField()),
                ('version', models.TextField()),
                ('value', core.models.WrittenField(help_text='As `graphs.serde` writes it; null: the channel is empty.', null=True)),
            ],
            options={
                'db_table': 'graph_values',
            },
        ),
        migrations.CreateModel(
            name='GraphWrite',
            fields=[
                ('pk', models.CompositePrimaryKey('session', 'namespace', 'checkpoint_id', 'task_id', 'index', blank=True, editable=False, primary_key=True, serialize=False)),
                ('session', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='agent_sessions.session')),
                ('namespace', models.TextField()),
                ('checkpoint_id', models.UUIDField()),
                ('task_id', models.TextField()),
                ('index', models.IntegerField()),
                ('task_path', models.TextField(default='')),
                ('channel', models.TextField()),
                ('value', core.models.WrittenField(null=True)),
            ],
            options={
                'db_table': 'graph_writes',
            },
        ),
        migrations.AddField(
            model_name='session',
            name='ephemeral',
            field=models.BooleanField(db_default=False, help_text='Deleted once its run has ended.'),
        ),
        migrations.AddField(
            model_name='session',
            name='ttl_strategy',
            field=models.CharField(blank=True, choices=[('delete', 'Delete'), ('keep_latest', 'Keep Latest')], help_text='Empty: it expires, and is kept.', max_length=16, null=True),
        ),
        migrations.AlterField(
            model_name='session',
            name='assistant',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to='assistants.assistant'),
        ),
        migrations.AlterField(
            model_name='session',
            name='assistant_version',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name='session',
            index=models.Index(condition=models.Q(('ephemeral', True)), fields=['id'], name='session_ephemeral'),
        ),
        migrations.AddConstraint(
            model_name='session',
            constraint=models.CheckConstraint(condition=models.Q(('ttl_strategy__in', ['delete', 'keep_latest'])), name='session_ttl_strategy_known'),
        ),
        migrations.AddIndex(
            model_name='graphcheckpoint',
            index=models.Index(condition=models.Q(('run_id__isnull', False)), fields=['run_id'], name='graph_checkpoint_of_run'),
        ),
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_session_id_fk FOREIGN KEY (session_id) "
                f"REFERENCES sessions (id) ON DELETE CASCADE",
                f"ALTER TABLE {table} DROP CONSTRAINT {table}_session_id_fk",
            )
            for table in ("graph_checkpoints", "graph_values", "graph_writes")
        ),
    ]
