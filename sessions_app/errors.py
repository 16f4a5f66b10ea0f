"""Errors of the domain. Each carries a stable code for programs and a sentence for people."""


class DomainError(Exception):
    """Something the caller asked for cannot be done; the docstring of each subclass is its default message."""

    code = "domain_error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class InvalidPhone(DomainError):
    """This is not a valid phone number."""

    code = "invalid_phone"


class NotFound(DomainError):
    """There is no such thing in this restaurant."""

    code = "not_found"


class Conflict(DomainError):
    """The present state does not allow this."""

    code = "conflict"


class IdempotencyKeyReused(DomainError):
    """This Idempotency-Key was used before with a different request."""

    code = "idempotency_key_reused"
