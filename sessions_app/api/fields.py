"""Field types shared by the schemas: strict where a lenient reading would hide a caller's mistake."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Body(BaseModel):
    """A request's body: unknown fields are refused, so that a misspelled one is not silently ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class PriorityName(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


def _rfc3339(value: Any) -> Any:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("Write a time as in RFC 3339, with its offset: 2026-01-31T18:30:00Z")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_rfc3339, json_schema_input_type=datetime)]

# What PostgreSQL can hold (no NUL), and at least one character that can be seen.
VISIBLE = r"^[^\x00]*[^\s\x00][^\x00]*$"
STORABLE = r"^[^\x00]*$"
PhoneText = Annotated[str, Field(min_length=1, max_length=40, description="E.164, or as dialled in the restaurant's region.")]
