"""What a session worker is told about itself."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Config:
    """Times in seconds unless the name says otherwise."""

    name: str
    queue: str
    hostname: str
    pid: int
    capacity: int
    heartbeat_s: float
    ttl_s: float
    margin_s: float
    typing_ms_per_character: int
    typing_max_ms: int
    ack_timeout_s: float
    secret: str
    alive_file: str
    max_opening: int = 16  # logins under way at once: each costs the bridge 35-55 ms of CPU
    bridge_grace_s: float = 10.0  # how long sessions stay while the bridge is away
    look_every_s: float = 1.0  # for work that no wake-up told of
    finish_s: float = 5.0  # for sends under way at the end


def from_settings(*, name: str, queue: str, hostname: str, pid: int) -> Config:
    return Config(
        name=name,
        queue=queue,
        hostname=hostname,
        pid=pid,
        capacity=settings.WORKER_CAPACITY,
        heartbeat_s=settings.WORKER_HEARTBEAT_S,
        ttl_s=settings.WORKER_TTL_S,
        margin_s=settings.WORKER_LEASE_MARGIN_S,
        typing_ms_per_character=settings.TYPING_MS_PER_CHARACTER,
        typing_max_ms=settings.TYPING_MAX_MS,
        ack_timeout_s=settings.SEND_ACK_TIMEOUT_S,
        secret=settings.WHATSAPP_SECRET,
        alive_file=settings.WORKER_ALIVE_FILE,
    )
