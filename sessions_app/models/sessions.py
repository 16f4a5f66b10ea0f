from django.db import models

from sessions_app.models.base import UUIDModel
from sessions_app.models.restaurants import Restaurant
from sessions_app.models.workers import Worker


class Session(UUIDModel):
    """One WhatsApp number of a restaurant: what is wanted of it, what is true of it, and who owns it now.

    Web and admin write the wishes (`desired`, `link_until`, `link_phone`, `restart_wish`), what is said of the number
    (`declared_*`) and what its events tell (`standing`); the owner acts on the wishes and writes the truth. Only a session that
    nobody owns is unlinked by the web side. Every write of an owner carries `(owner, term)`, so that a former owner's write
    matches no row.
    """

    class State(models.TextChoices):
        UNLINKED = "unlinked", "No number is linked and nobody is linking one"
        LINKING = "linking", "A QR code or pairing code waits for the phone"
        CONNECTING = "connecting", "Linked; the connection is being made"
        CONNECTED = "connected", "Linked and connected"
        DISCONNECTED = "disconnected", "Linked; the connection is down and will be tried again"
        STOPPED = "stopped", "Linked; kept offline because somebody asked for it"
        LOGGED_OUT = "logged_out", "The phone removed this device: it must be linked again"
        BLOCKED = "blocked", "WhatsApp refuses this number; the reason says for how long"

    class Desired(models.TextChoices):
        ONLINE = "online", "Connected whenever it is linked"
        OFFLINE = "offline", "Linked, but not connected"
        UNLINKED = "unlinked", "Logged out of WhatsApp"

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Wishes
    desired = models.CharField(max_length=16, choices=Desired, default=Desired.ONLINE)
    link_until = models.DateTimeField(null=True, blank=True)  # somebody watches the link page until then
    link_phone = models.CharField(max_length=16, blank=True)  # E.164: link by pairing code instead of QR
    restart_wish = models.PositiveIntegerField(default=0)  # counts requests; the owner copies it to `restart_done`
    restart_done = models.PositiveIntegerField(default=0)

    # Truth, written by the owner
    state = models.CharField(max_length=16, choices=State, default=State.UNLINKED)
    state_reason = models.CharField(max_length=40, blank=True)  # a stable code
    state_detail = models.CharField(max_length=300, blank=True)  # the same in plain words, for people
    state_changed_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)  # connection attempts failed in a row
    crashes = models.PositiveIntegerField(
        default=0, db_default=0
    )  # of its own code in the bridge, since it was last connected for long
    bridge_deaths = models.PositiveIntegerField(default=0, db_default=0)  # of a whole bridge, of which it may be the cause
    linked_at = models.DateTimeField(null=True, blank=True)  # null: no credentials are held
    phone = models.CharField(max_length=16, blank=True)  # E.164 of the linked number
    lid = models.CharField(max_length=40, blank=True)
    push_name = models.CharField(max_length=120, blank=True)
    qr = models.TextField(blank=True)
    qr_generated_at = models.DateTimeField(null=True, blank=True)
    qr_expires_at = models.DateTimeField(null=True, blank=True)
    pairing_code = models.CharField(max_length=16, blank=True)
    connected_at = models.DateTimeField(null=True, blank=True)

    # Ownership
    owner = models.ForeignKey(Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="sessions", db_index=False)
    term = models.BigIntegerField(default=0)  # rises with every claim: the fencing token
    owner_incarnation = models.BigIntegerField(default=0, db_default=0)  # which process of the owner's name has claimed it
    claimed_at = models.DateTimeField(null=True, blank=True)

    # Pace: kept here so that a new owner goes on at the same pace
    last_sent_at = models.DateTimeField(null=True, blank=True)
    next_send_at = models.DateTimeField(null=True, blank=True)
    next_delay_ms = models.PositiveIntegerField(default=0)  # the pause drawn between those two

    cold_sent_at = models.DateTimeField(null=True, blank=True)  # the same for messages to strangers
    cold_delay_ms = models.PositiveIntegerField(default=0, db_default=0)

    # What is known of the number, and what of its queue is held because of it
    history_phone = models.CharField(max_length=16, blank=True, db_default="")  # E.164 of the number that all this is about
    history_since = models.DateTimeField(null=True, blank=True)  # when it took another one's place; null: it is the first
    first_linked_at = models.DateTimeField(null=True, blank=True)  # that number, here; the warm-up counts from then
    declared_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Good days the number had before it came here. Empty: it is taken for a new one."
    )
    declared_on = models.DateField(null=True, blank=True)
    standing = models.JSONField(default=dict, db_default={})  # what WhatsApp has said of the number: `services.standing`

    class Meta:
        db_table = "wa_session"
        ordering = ["restaurant", "name"]
        indexes = [
            models.Index(fields=["owner"], name="wa_session_owner"),
            models.Index(fields=["restaurant", "name"], name="wa_session_restaurant"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["restaurant", "name"], condition=models.Q(deleted_at__isnull=True), name="wa_session_name_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.phone}".strip()


class SendTally(models.Model):
    """How many messages went over the wire in a quarter of an hour, by lane: what budgets are counted from. Quarters, since
    every time zone's midnight is the beginning of one."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="tallies", db_index=False)
    quarter = models.DateTimeField()  # its beginning
    lane = models.PositiveSmallIntegerField()  # as in Message.Lane
    sent = models.PositiveIntegerField()

    class Meta:
        db_table = "send_tally"
        constraints = [models.UniqueConstraint(fields=["session", "quarter", "lane"], name="send_tally_once")]
        indexes = [models.Index(fields=["quarter"], name="send_tally_age")]  # for forgetting

    def __str__(self) -> str:
        return f"{self.quarter:%Y-%m-%d %H:%M} {self.sent}"


class SessionEvent(models.Model):
    """The activity log of a session: appended, never changed."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)  # claimed, released, state, link_requested, restart_requested, …
    detail = models.JSONField(default=dict)

    class Meta:
        db_table = "wa_session_event"
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["session", "-at"], name="wa_session_event_recent")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind}"
