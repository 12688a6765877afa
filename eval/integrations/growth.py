"""When a kept index is converted: once it has enough rows, and again where that failed."""

from __future__ import annotations

import warnings

from cluscomp.errors import ConversionWarning
from cluscomp.eval.integrations.conversion import Conversion
from cluscomp.eval.integrations.kept import KeptIndex


class Growth:
    """Begins the conversions of a kept index, one at a time, and tells of those that failed.

    kept: where the index is. first_key: of the index that is converted. final_key: of the new one. train_at:
    rows from which on it is; None for either: never. seed: of training.
    """

    def __init__(
        self, kept: KeptIndex, first_key: str, final_key: str | None, train_at: int | None, seed: int
    ) -> None:
        self._kept, self._first_key, self._seed = kept, first_key, seed
        self._final_key, self._train_at = final_key, train_at
        self._conversion: Conversion | None = None
        self._was_told = False

    def begin(self) -> None:
        """Begin a conversion where it is time."""
        with self._kept.lock:
            index = self._kept.current()
            if index is None or self._final_key is None or self._train_at is None:
                return
            before = self._conversion
            needed = self._train_at
            if before is not None:
                if before.is_running:
                    return
                needed = max(needed, 2 * before.n_rows)  # it failed, or another process made a new index
            if index.key == self._first_key != self._final_key and len(index) >= needed:
                self._conversion = Conversion(self._kept, self._final_key, self._seed)
                self._was_told = False

    def finish(self, timeout: float | None = None) -> bool:
        """Wait for a conversion that runs; whether none is left. timeout: most seconds.

        Raises what made it fail.
        """
        conversion = self._conversion
        if conversion is None or conversion.finish(timeout):
            return True
        if conversion.failure is not None:
            self._was_told = True
            raise conversion.failure
        return False

    def tell_of_failure(self) -> None:
        """Warn, once, of a conversion that failed; as if the caller of the caller did."""
        conversion = self._conversion
        if conversion is not None and conversion.failure is not None and not self._was_told:
            self._was_told = True
            warnings.warn(
                f"the index stays {self._first_key!r}: it could not be converted to {self._final_key!r} "
                f"({conversion.failure}); this is tried again with twice as many rows",
                ConversionWarning,
                stacklevel=3,
            )
