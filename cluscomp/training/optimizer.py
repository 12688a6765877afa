"""AdamW over an encoder and centroids, with its state as named arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WARM_UP = 0.05  # of the steps
LARGEST_GRADIENT = 1.0  # norm of the encoder's gradient
_STATE = ("exp_avg", "exp_avg_sq", "step")


class Optimizer:
    """Two groups of parameters; learning rates rise over the first steps and then fall linearly to 0.

    encoder: tensors by name. centroids: trained with centroid_lr times their root mean square at the start.
    """

    def __init__(
        self, encoder: dict[str, Tensor], centroids: Tensor, *, lr: float, centroid_lr: float, n_steps: int
    ) -> None:
        import torch

        self.encoder, self.centroids = encoder, centroids
        self.named = {**{f"encoder.{name}": p for name, p in encoder.items()}, "centroids": centroids}
        self._peaks = (lr, centroid_lr * float(centroids.detach().square().mean().sqrt()))
        self._n_steps = n_steps
        groups = [{"params": list(encoder.values())}, {"params": [centroids]}]
        self._adam = torch.optim.AdamW(groups, lr=lr, weight_decay=0.0)

    def clear(self) -> None:
        """Forget the gradients."""
        self._adam.zero_grad(set_to_none=True)

    def step(self, number: int) -> None:
        """Follow the gradients in step `number`, counted from 0."""
        import torch

        torch.nn.utils.clip_grad_norm_(list(self.encoder.values()), LARGEST_GRADIENT)
        for group, peak in zip(self._adam.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._factor(number)
        self._adam.step()

    def _factor(self, number: int) -> float:
        warm = max(1, round(self._n_steps * WARM_UP))
        return min((number + 1) / warm, (self._n_steps - number) / max(1, self._n_steps - warm), 1.0)

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs: moments and counts, by parameter."""
        found: dict[str, Tensor] = {}
        for name, parameter in self.named.items():
            kept: dict[str, Any] = self._adam.state.get(parameter, {})
            found |= {f"optimizer.{key}.{name}": kept[key] for key in _STATE if key in kept}
        return found

    def load(self, arrays: dict[str, Tensor]) -> None:
        """Inverse of `state`."""
        for name, parameter in self.named.items():
            kept = {
                key: arrays[f"optimizer.{key}.{name}"]
                for key in _STATE
                if f"optimizer.{key}.{name}" in arrays
            }
            if kept:
                self._adam.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device) for key, value in kept.items()
                }
