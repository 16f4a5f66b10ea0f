"""What people and programs ask of a session. They write wishes; the session's owner makes them true (`session_state`).

Each verb changes the row only while that makes sense, by one conditional update, appends to the activity log and wakes
the owner. A session that holds no credentials and has no live owner is finished here: nobody else would do it.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.errors import Conflict, DomainError, NotFound
from sessions_app.models import Message, MessageEvent, Restaurant, Session, SessionEvent
from sessions_app.policy.masking import mask_phone
from sessions_app.policy.text import is_storable
from sessions_app.services import phones, wakeups

MAX_NAME_CHARACTERS = 80
CANCELED_AT_ONCE = 1_000
Desired, State = Session.Desired, Session.State


class SessionRequired(DomainError):
    """Say which session is to send: name it in session_id."""

    code = "session_required"


class InvalidName(DomainError):
    """A session's name has 1 to 80 characters."""

    code = "invalid_name"


def create(*, restaurant: Restaurant, name: str, actor: str = "") -> Session:
    """A session without a number, to be linked next. Raises InvalidName, and Conflict when the name is taken."""
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARACTERS or not is_storable(name):
        raise InvalidName
    try:
        with transaction.atomic():
            session = Session.objects.create(restaurant=restaurant, name=name)
            _note(session, "created", actor=actor)
    except IntegrityError as error:
        raise Conflict("This restaurant has a session of that name already.") from error
    return session


def get(*, restaurant: Restaurant, session_id: UUID) -> Session:
    """Raises NotFound for an unknown, a deleted and another restaurant's session alike."""
    for session in Session.objects.filter(restaurant=restaurant, pk=session_id, deleted_at=None).order_by():
        session.restaurant = restaurant
        return session
    raise NotFound("This restaurant has no such session.")


def for_sending(*, restaurant: Restaurant, session_id: UUID | None) -> Session:
    """The session named, or the only one there is. Raises NotFound, SessionRequired."""
    if session_id is not None:
        return get(restaurant=restaurant, session_id=session_id)
    found = list(Session.objects.filter(restaurant=restaurant, deleted_at=None).order_by()[:2])
    if len(found) == 1:
        found[0].restaurant = restaurant
        return found[0]
    raise SessionRequired if found else SessionRequired("This restaurant has no session yet: create and link one first.")


def link(*, session: Session, phone: str = "", actor: str = "") -> Session:
    """Show a QR code, or with `phone` a pairing code for that number, for the next LINK_WINDOW_S seconds.

    Asking again starts the window anew. Raises InvalidPhone, and Conflict while a number is linked.
    """
    number = phones.normalise(phone, session.restaurant.default_region) if phone else ""
    return _wish(
        session,
        kind="link_requested",
        actor=actor,
        when=Q(linked_at=None),
        otherwise="A number is linked already: log it out first.",
        detail={"method": "code" if number else "qr", "phone": mask_phone(number)},
        desired=Desired.ONLINE,
        link_until=Now() + timedelta(seconds=settings.LINK_WINDOW_S),
        link_phone=number,
    )


def stop_linking(*, session: Session, actor: str = "") -> Session:
    """Nobody watches the QR code any more. Nothing happens when nobody did."""
    if session.link_until is None and session.state != State.LINKING:
        return session
    with transaction.atomic():
        _wish(session, kind="link_stopped", actor=actor, when=Q(), otherwise="", link_until=None, link_phone="")
        _unlink_if_unowned(session, Q(state=State.LINKING))
    return session


def restart(*, session: Session, actor: str = "") -> Session:
    """Close the connection and make it anew. Raises Conflict unless a number is linked and wanted online."""
    return _wish(
        session,
        kind="restart_requested",
        actor=actor,
        when=Q(linked_at__isnull=False, desired=Desired.ONLINE),
        otherwise="Only a linked session that is not stopped can be restarted.",
        restart_wish=F("restart_wish") + 1,
    )


def declare_age(*, session: Session, good_days: int, actor: str = "") -> Session:
    """Take the number for one with that many days on WhatsApp without a warning: its warm-up goes on from there, today."""
    today = timezone.now().astimezone(ZoneInfo(session.restaurant.time_zone)).date()
    return _wish(
        session,
        kind="age_declared",
        actor=actor,
        when=Q(),
        otherwise="",
        detail={"good_days": str(good_days)},
        declared_days=good_days,
        declared_on=today,
    )


def stop(*, session: Session, actor: str = "") -> Session:
    """Keep the link, close the connection; messages wait. Raises Conflict unless a number is linked."""
    return _wish(
        session,
        kind="stop_requested",
        actor=actor,
        when=Q(linked_at__isnull=False) & ~Q(desired=Desired.UNLINKED),
        otherwise="Only a linked session can be stopped.",
        desired=Desired.OFFLINE,
    )


def start(*, session: Session, actor: str = "") -> Session:
    """Connect a stopped session again. Raises Conflict unless a number is linked."""
    return _wish(
        session,
        kind="start_requested",
        actor=actor,
        when=Q(linked_at__isnull=False) & ~Q(desired=Desired.UNLINKED),
        otherwise="Only a linked session can be started; link this one.",
        desired=Desired.ONLINE,
    )


def log_out(*, session: Session, actor: str = "") -> Session:
    """Remove this device from the phone and forget its credentials. Messages wait for the next number."""
    wishes: dict[str, Any] = {"desired": Desired.UNLINKED, "link_until": None, "link_phone": ""}
    with transaction.atomic():
        _wish(session, kind="log_out_requested", actor=actor, when=Q(), otherwise="", **wishes)
        _unlink_if_unowned(session, ~Q(state=State.UNLINKED))
    return session


def delete(*, session: Session, actor: str = "") -> None:
    """Log out and take the session out of sight; what waits in it is canceled. Its history stays. Raises NotFound.

    From its deletion on nothing of it is claimed: what waits is canceled a part at a time, so that nobody waits for its row. What
    an end of this process leaves behind a sweep cancels.
    """
    with transaction.atomic():
        # FOR UPDATE waits for every `enqueue` under way (KEY SHARE), so that no message slips in behind the cancelling.
        locked = Session.objects.select_for_update().filter(pk=session.pk, deleted_at=None)
        if not locked.exists():
            raise NotFound("This session has been deleted.")
        log_out(session=session, actor=actor)
        Session.objects.filter(pk=session.pk).update(deleted_at=Now())
        _note(session, "deleted", actor=actor)
    while _cancel_some(session):
        pass
    session.refresh_from_db()


def _wish(
    session: Session,
    *,
    kind: str,
    actor: str,
    when: Q,
    otherwise: str,
    detail: dict[str, str] | None = None,
    **wishes: Any,
) -> Session:
    """Write wishes while `when` holds, else raise Conflict with `otherwise`; the row decides, not the caller's copy."""
    with transaction.atomic():
        rows = Session.objects.filter(when, pk=session.pk, deleted_at=None).update(**wishes, updated_at=Now())
        session.refresh_from_db()
        if not rows:
            raise NotFound("This session has been deleted.") if session.deleted_at else Conflict(otherwise)
        _note(session, kind, actor=actor, **(detail or {}))
        transaction.on_commit(lambda: wakeups.wake([session.pk], coalesce=False), robust=True)
    return session


def _unlink_if_unowned(session: Session, when: Q) -> None:
    """Without credentials there is nothing to close, and without a live owner nobody to say so: it is said here."""
    unowned = Q(owner=None) | Q(owner__expires_at__lte=Now())
    idle = Session.objects.filter(when, unowned, pk=session.pk, linked_at=None)
    shown = {"qr": "", "qr_generated_at": None, "qr_expires_at": None, "pairing_code": ""}
    reason = {"state_reason": "", "state_detail": "", "retry_at": None, "failures": 0}
    if idle.update(state=State.UNLINKED, state_changed_at=Now(), **shown, **reason):
        _note(session, "state", actor="", to=State.UNLINKED)
        session.refresh_from_db()


@transaction.atomic
def _cancel_some(session: Session) -> bool:
    """Whether there may be more."""
    waiting = Message.objects.filter(session=session, status__in=Message.WAITING)
    some = list(waiting.order_by().values_list("pk", flat=True)[:CANCELED_AT_ONCE])
    locked = list(waiting.select_for_update().filter(pk__in=some).order_by("pk").values_list("pk", flat=True))
    Message.objects.filter(pk__in=locked).update(status=Message.Status.CANCELED, status_at=Now(), hold_reason="", hold_until=None)
    MessageEvent.objects.bulk_create(
        [
            MessageEvent(message_id=pk, at=Now(), status=Message.Status.CANCELED, detail={"reason": "session_deleted"})
            for pk in locked
        ]
    )
    return bool(some)


def _note(session: Session, kind: str, *, actor: str, **detail: str) -> None:
    by = {"by": actor} if actor else {}
    SessionEvent.objects.create(session=session, at=Now(), kind=kind, detail={**by, **detail})
