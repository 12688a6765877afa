"""The codec while it is trained: rotation (fixed) and centroids (leaves with gradient) as torch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluscomp.errors import DimensionError
from cluscomp.training.transport import TensorReduce, balanced_plan, this_process

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class TrainableCodec:
    """Product quantizer whose centroids learn.

    rotation: (d_out, d) float32, rotated = x @ rotation.T; never trained. centroids: (m, k, d_out/m).
    """

    def __init__(self, rotation: Any, centroids: Any, *, device: str = "cpu") -> None:
        import torch

        arrays = [torch.as_tensor(a).detach() for a in (rotation, centroids)]
        copies = [a.to(device=device, dtype=torch.float32, copy=True) for a in arrays]
        self._use(copies[0], copies[1].requires_grad_())

    @classmethod
    def over(cls, rotation: Tensor, centroids: Tensor) -> TrainableCodec:
        """A codec that shares the memory of these tensors."""
        codec = cls.__new__(cls)
        codec._use(rotation, centroids)
        return codec

    def _use(self, rotation: Tensor, centroids: Tensor) -> None:
        self.rotation, self.centroids = rotation, centroids
        self.m, self.k, self.width = centroids.shape
        if self.rotation.shape[0] != self.m * self.width:
            raise DimensionError(
                f"the rotation gives {self.rotation.shape[0]} dimensions, but the centroids cover "
                f"{self.m} x {self.width} = {self.m * self.width}"
            )

    def rotate(self, x: Tensor) -> Tensor:
        """Rows (n, d) -> (n, d_out)."""
        return x @ self.rotation.T

    def distances(self, rotated: Tensor) -> Tensor:
        """Squared distances (m, n, k) of the parts of rotated rows (n, d_out) to the centroids, no gradient.

        The mean centroid is taken off first, so that a common offset does not cancel digits.
        """
        centroids = self.centroids.detach()
        offset = centroids.mean(dim=1, keepdim=True)
        parts = rotated.detach().float().reshape(-1, self.m, self.width).transpose(0, 1) - offset
        centred = centroids - offset
        cross = parts @ centred.transpose(1, 2)
        squares = parts.square().sum(2)[:, :, None] + centred.square().sum(2)[:, None, :]
        return squares - 2 * cross

    def nearest_codes(self, rotated: Tensor) -> Tensor:
        """Codes (n, m) of rotated rows (n, d_out): the nearest centroids, the lowest of equally near ones."""
        return self.distances(rotated).argmin(dim=2).T.contiguous()

    def balanced_codes(
        self,
        rotated: Tensor,
        *,
        epsilon: float,
        n_iter: int,
        tol: float = 1e-4,
        cost_scale: str = "absolute",
        start: Tensor | None = None,
        all_reduce: TensorReduce = this_process,
    ) -> tuple[Tensor, Tensor]:
        """Codes (n, m) under the uniform constraint, and the column exponents (m, k) to start from next."""
        plan = balanced_plan(
            self.distances(rotated), epsilon=epsilon, n_iter=n_iter, tol=tol, cost_scale=cost_scale,
            start=start, all_reduce=all_reduce,
        )  # fmt: skip
        return plan.codes(), plan.col_exponent

    def decode(self, codes: Tensor) -> Tensor:
        """Rotated rows (n, d_out) that the codes (n, m) stand for; the selected centroids get gradient."""
        import torch

        groups = torch.arange(self.m, device=codes.device)
        return self.centroids[groups, codes].flatten(1)

    def centroid_array(self) -> np.ndarray:
        """A copy (m, k, d_out/m) float32 of the centroids as they are now."""
        copy: np.ndarray = self.centroids.detach().cpu().numpy().copy()
        return copy


def straight_through(quantized: Tensor, continuous: Tensor) -> Tensor:
    """The value of `quantized`; its gradient goes unchanged to both (Bengio et al., arXiv 1308.3432)."""
    return quantized + (continuous - continuous.detach())


def quantization_error(quantized: Tensor, continuous: Tensor) -> Tensor:
    """Mean over rows of |quantized - continuous|^2, with gradient on both sides."""
    return (quantized - continuous).square().sum(dim=1).mean()
