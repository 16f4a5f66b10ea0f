"""A session that is connected again by another worker tells nobody: it was not heard to be gone."""

from django.db import migrations

_TELL_SESSION = """
    CREATE OR REPLACE FUNCTION webhook_tell_session() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM webhook WHERE is_active) THEN
            INSERT INTO webhook_delivery (webhook_id, topic, session_event_id)
            SELECT w.id, t.topic, e.id
            FROM fresh e
            JOIN (VALUES ('state', 'session.state_changed'), ('number_restricted', 'session.restriction_changed'),
                         ('chat_cap', 'session.new_chat_limit_changed')) AS t(kind, topic) ON t.kind = e.kind
            JOIN wa_session s ON s.id = e.session_id
            JOIN webhook w ON w.restaurant_id = s.restaurant_id AND w.is_active
            LEFT JOIN LATERAL (
                SELECT p.detail FROM wa_session_event p
                WHERE {before} AND p.session_id = e.session_id AND p.kind = e.kind AND p.id < e.id
                ORDER BY p.at DESC, p.id DESC LIMIT 1) AS before ON true
            WHERE (w.topics = '{{}}' OR t.topic = ANY(w.topics))
              AND CASE WHEN e.kind = 'state' THEN e.detail->>'to' NOT IN ('linking', 'connecting'){state}
                       ELSE webhook_said(e.kind, e.detail) <> COALESCE(webhook_said(e.kind, before.detail), '[]') END
            ORDER BY e.id FOR KEY SHARE OF w;
        END IF;
        RETURN NULL;
    END $$;"""


def _function(before: str, state: str) -> str:
    return _TELL_SESSION.format(before=before, state=state)


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0014_indexes_for_what_is_rare")]

    operations = [
        migrations.RunSQL(
            _function(
                "(e.kind <> 'state' OR p.detail->>'to' NOT IN ('linking', 'connecting'))",
                " AND NOT (e.detail->>'to' = 'connected' AND COALESCE(before.detail->>'to' = 'connected', false))",
            ),
            _function("e.kind <> 'state'", ""),
        ),
    ]
