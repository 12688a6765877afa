"""What a conversion did: `ConvertReport`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ConvertReport:
    """What `convert_index` wrote, or would write.

    key, format_version, to: what was asked for; the others are None. rows: that can be found, all of which
    are there afterwards. dropped: deleted rows that are not. vectors_from: "source", or "codes" where rows
    were decoded. coded_twice: whether these codes had lost something already. added_error: mean squared
    distance of the new codes to what they are codes of, over the mean squared length, by `error_rows` rows;
    None where nothing was encoded or the new codes cannot be decoded. files: written beside each other, or
    the folder. bytes: of all of them; 0 for a dry run. texts: whether titles and texts came along.
    planned_peak: bytes of memory of a build.
    """

    index: str
    output: str
    key_before: str
    rows: int
    dropped: int
    key: str | None = None
    format_version: int | None = None
    to: str | None = None
    vectors_from: str | None = None
    coded_twice: bool = False
    added_error: float | None = None
    error_rows: int = 0
    files: tuple[str, ...] = ()
    bytes: int = 0
    texts: bool = False
    planned_peak: int | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)
