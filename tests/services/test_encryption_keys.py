"""What an operator is told before an old encryption key is taken away."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from sessions_app.models import BridgeCreds, BridgeKey, BridgeSentMessage, Session


def told(settings: Settings, ring: str) -> list[str]:
    settings.WA_ENCRYPTION_KEYS = ring
    out = StringIO()
    call_command("encryption_keys", stdout=out)
    return out.getvalue().splitlines()


def sealed(key: str) -> bytes:
    return bytes([1, len(key)]) + key.encode() + bytes(30)


def test_it_counts_what_is_under_each_key_and_names_whose(session: Session, settings: Settings) -> None:
    BridgeCreds.objects.create(session=session, fence=1, data=sealed("k2"))
    BridgeKey.objects.create(session=session, kind="session", name="a", data=sealed("k1"))
    BridgeSentMessage.objects.create(session=session, wa_id="A", address="a", data=sealed("k1"), created_at=timezone.now())
    first, old, whose = told(settings, "k2:x, k1:y")
    assert first.startswith("k2: 1 values of 1 sessions.") and old.startswith("k1: 2 values of 1 sessions.")
    assert whose == f"  {session.id} Trattoria, main: unlinked"


def test_it_says_that_a_key_may_go_and_which_is_missing(session: Session, settings: Settings) -> None:
    BridgeCreds.objects.create(session=session, fence=1, data=sealed("lost"))
    BridgeKey.objects.create(session=session, kind="session", name="a", data=b"\x01")
    empty, old, may_go, damaged, _, lost, _ = told(settings, "k2:x,k1:y")
    assert (empty, old) == ("k2: nothing.", "k1: nothing.") and may_go.startswith("  It may go.")
    assert damaged.startswith("(damaged): 1 values of")
    assert lost.startswith("lost: 1 values of") and lost.endswith("they cannot be opened.")


def test_it_says_where_it_has_to_be_run(db: None, settings: Settings) -> None:
    with pytest.raises(CommandError, match="where a session worker runs"):
        told(settings, "")
