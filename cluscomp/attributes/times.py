"""Instants as microseconds since 1970 UTC, from ISO 8601 texts and dates; those without a zone are UTC."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


def microseconds(instant: date) -> int:
    """Microseconds of a date or datetime. Raises ValueError where a zone moves it out of the calendar."""
    if not isinstance(instant, datetime):
        instant = datetime(instant.year, instant.month, instant.day)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=timezone.utc)
    return (instant - _EPOCH) // _MICROSECOND


def parsed(text: str) -> int:
    """Microseconds of a text such as 2024-05-01 or 2024-05-01T12:30:00.25+02:00; further digits are cut off.

    Raises ValueError.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no ISO 8601 date, such as 2024-05-01 or 2024-05-01T12:30:00Z")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    micro = int((fraction or "").ljust(6, "0")[:6])
    instant = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micro
    )
    return microseconds(instant.replace(tzinfo=timezone.utc)) - _offset(zone)


def datetime_of(value: int) -> datetime:
    """The instant in UTC; the first or last one of the calendar for what lies outside of it."""
    try:
        return _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        return (datetime.min if value < 0 else datetime.max).replace(tzinfo=timezone.utc)


def _offset(zone: str | None) -> int:
    """Microseconds by which a zone is ahead of UTC."""
    if zone is None or zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return (-minutes if zone[0] == "-" else minutes) * 60_000_000
