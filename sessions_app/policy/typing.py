"""How long the customer sees "typing…" before a message."""


def typing_ms(characters: int, *, per_character_ms: int, limit_ms: int) -> int:
    """Milliseconds of typing for a text of that length: proportional to it, and never more than the limit."""
    return max(0, min(characters * per_character_ms, limit_ms))
