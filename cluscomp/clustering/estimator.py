"""The estimator protocol of scikit-learn without depending on it; names of parameters are our own.

`clone`, `Pipeline`, `GridSearchCV` and `check_estimator` only use the methods below (duck typing).
scikit-learn is touched only by code that it calls itself (`__sklearn_tags__`) or that is already using it.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from cluscomp.arrays import as_rows
from cluscomp.clustering.device import on_host
from cluscomp.errors import ConvergenceWarning, DimensionError, DTypeError, NotTrainedError, UsageError

Self = TypeVar("Self", bound="Estimator")


class Estimator:
    """Base class: parameters are the constructor's arguments, stored unchanged under their own names."""

    _estimator_type = "clusterer"
    _gate: Callable[[Any], Any] = staticmethod(as_rows)  # what x may be, and what the methods get of it

    @classmethod
    def _param_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments by name, as scikit-learn's `clone` wants them.

        Args:
            deep: accepted for scikit-learn; changes nothing.

        Returns:
            Name of each argument -> its value.
        """
        return {name: getattr(self, name) for name in self._param_names()}

    def set_params(self: Self, **params: Any) -> Self:
        """Set arguments of the constructor by name.

        Args:
            **params: arguments of the constructor.

        Returns:
            The estimator.

        Raises:
            UsageError: the constructor has no argument of this name.
        """
        known = self._param_names()
        for name, value in params.items():
            if name not in known:
                raise UsageError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({shown})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(sparse=False, allow_nan=False),
        )

    def _check_fit_rows(self, x: Any) -> Any:
        """Checked rows to fit on; sets n_features_in_, and feature_names_in_ for data frames."""
        rows = self._gate(_familiar(x))
        self.n_features_in_ = rows.shape[1]
        names = _feature_names(x)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return rows

    def _check_rows(self, x: Any) -> Any:
        """Checked rows for a fitted estimator.

        Raises NotTrainedError before fit, DimensionError for another width.
        """
        self._check_fitted()
        rows = self._gate(_familiar(x))
        self._check_width(rows.shape[1])
        return rows

    def _warn_of_empty(self, labels: Any) -> None:
        """ConvergenceWarning where clusters have no row, as scikit-learn gives it."""
        sizes = np.bincount(on_host(labels), minlength=int(self.n_clusters))  # type: ignore[attr-defined]
        empty = int((sizes == 0).sum())
        if empty:
            warnings.warn(
                f"{sizes.size - empty} clusters were found, n_clusters is {sizes.size}: the others have no "
                "row; x may hold too few different rows",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "n_features_in_"):
            raise _not_fitted_class()(f"this {type(self).__name__} is not fitted yet; call fit first")

    def _check_width(self, width: int) -> None:
        if width != self.n_features_in_:
            raise DimensionError(
                f"X has {width} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )


def _familiar(x: Any) -> Any:
    """X for the gate, after what scikit-learn's checks ask of an estimator beyond it, in their wordings."""
    if hasattr(x, "toarray") and not isinstance(x, np.ndarray):
        raise DTypeError(f"x is a sparse {type(x).__name__}, but dense rows are needed; pass x.toarray()")
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    is_objects = dtype == np.dtype(object)
    if shape is not None and len(shape) == 1 and not is_objects:
        raise DimensionError(
            f"x must be a matrix (rows, dim), but has shape {tuple(shape)}. Reshape your data: "
            "x[None, :] for one row, x[:, None] for one feature"
        )
    if shape is not None and len(shape) == 2 and shape[1] == 0:
        raise DimensionError(f"0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is required.")
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        raise DTypeError(f"Complex data not supported: x has dtype {dtype}; pass real numbers")
    if is_objects and shape is not None and len(shape) == 2:
        x = _numbers_from_objects(x)
    return x


def _numbers_from_objects(x: Any) -> np.ndarray:
    try:
        return np.asarray(x).astype(np.float64)
    except (TypeError, ValueError) as exc:
        raise DTypeError(f"x holds objects that are not numbers ({exc}); pass a float array") from exc


def _feature_names(x: Any) -> np.ndarray | None:
    """Column names of a data frame when all are strings, else None."""
    columns = getattr(x, "columns", None)
    if columns is None:
        return None
    names = np.asarray(columns, dtype=object)
    return names if all(isinstance(name, str) for name in names) else None


def _not_fitted_class() -> type[NotTrainedError]:
    """NotTrainedError; where scikit-learn is in use, one that its handlers also know as NotFittedError."""
    exceptions = sys.modules.get("sklearn.exceptions")
    if exceptions is None:
        return NotTrainedError
    return type("NotTrainedError", (NotTrainedError, exceptions.NotFittedError), {})
