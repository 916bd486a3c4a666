"""Versions never change, whoever writes: the database itself refuses.

A version goes only with its assistant. Django deletes the versions first and the assistant after them, so whether the
assistant is still there is asked when the transaction commits.
"""

from django.db import migrations

_GUARD = """
CREATE FUNCTION assistant_version_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Version % of assistant % is immutable.', OLD.number, OLD.assistant_id
        USING ERRCODE = 'integrity_constraint_violation', TABLE = 'assistant_versions';
END $$;

CREATE TRIGGER assistant_version_immutable BEFORE UPDATE ON assistant_versions
    FOR EACH ROW EXECUTE FUNCTION assistant_version_refuse_update();

CREATE FUNCTION assistant_version_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM assistants WHERE id = OLD.assistant_id) THEN
        RAISE EXCEPTION 'Version % of assistant % is immutable.', OLD.number, OLD.assistant_id
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'assistant_versions';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER assistant_version_kept AFTER DELETE ON assistant_versions
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION assistant_version_refuse_delete();
"""

_NO_GUARD = """
DROP TRIGGER assistant_version_kept ON assistant_versions;
DROP FUNCTION assistant_version_refuse_delete();
DROP TRIGGER assistant_version_immutable ON assistant_versions;
DROP FUNCTION assistant_version_refuse_update();
"""

# What 0002 added, for the assistants that are there already.
_COPY = """
UPDATE assistants a SET
    metadata = v.config->'metadata',
    requests_per_minute = (v.config->'rate_limit'->>'requests_per_minute')::int,
    runs_per_day = (v.config->'quota'->>'runs_per_day')::int,
    tokens_per_day = (v.config->'quota'->>'tokens_per_day')::bigint,
    labels = ARRAY(SELECT jsonb_array_elements_text(v.config->'resources'->'labels'))
FROM assistant_versions v WHERE v.assistant_id = a.id AND v.number = a.version
"""


class Migration(migrations.Migration):
    dependencies = [("assistants", "0002_limits")]

    operations = [
        migrations.RunSQL(_COPY, migrations.RunSQL.noop),
        migrations.RunSQL(_GUARD, _NO_GUARD),
    ]
