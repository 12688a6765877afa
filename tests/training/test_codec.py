"""The codec under training: straight-through gradients, look-up scores, balanced codes."""

from __future__ import annotations

import pytest

from cluscomp.errors import DimensionError
from cluscomp.training.repconc.codec import TrainableCodec, quantization_error, straight_through

torch = pytest.importorskip("torch")


def random_codec(m=3, k=4, width=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(m * width, m * width, generator=rng))[0]
    return TrainableCodec(rotation, torch.randn(m, k, width, generator=rng))


def test_scores_of_decoded_rows_are_sums_of_table_entries():
    codec = TrainableCodec(torch.eye(4), torch.tensor([[[1.0, 0], [0, 1]], [[2, 0], [0, -1]]]))
    query = torch.tensor([1.0, 2, 3, 4])
    tables = (query.unflatten(0, (2, 1, 2)) * codec.centroids.detach()).sum(2)
    assert tables.tolist() == [[1, 2], [6, -4]]
    decoded = codec.decode(torch.tensor([[1, 0]]))
    assert decoded.tolist() == [[0, 1, 2, 0]]
    assert float(decoded.detach()[0] @ query) == 8


def test_the_rotation_keeps_inner_products():
    codec = random_codec()
    q, x = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(codec.rotate(q) @ codec.rotate(x), q @ x, atol=1e-6)


def test_straight_through_gradient_goes_to_document_and_selected_centroids():
    codec, codes = random_codec(), torch.tensor([[1, 0, 3]])
    continuous = torch.randn(1, 6, generator=torch.Generator().manual_seed(2)).requires_grad_()
    query = torch.arange(6.0)
    mixed = straight_through(codec.decode(codes), continuous)
    assert torch.allclose(mixed, codec.decode(codes), atol=1e-6)
    (mixed @ query).sum().backward()
    assert torch.equal(continuous.grad[0], query)
    selected = torch.stack([codec.centroids.grad[j, code] for j, code in enumerate(codes[0])])
    assert torch.equal(selected.flatten(), query)
    assert int((codec.centroids.grad != 0).any(dim=2).sum()) <= 3


def test_error_pulls_both_sides():
    codec, codes = random_codec(), torch.tensor([[2, 2, 0]])
    continuous = torch.randn(1, 6, generator=torch.Generator().manual_seed(3)).requires_grad_()
    weight = 0.7
    quantized = codec.decode(codes)
    difference = (quantized - continuous).detach()[0]
    (weight * quantization_error(quantized, continuous)).backward()
    assert torch.allclose(continuous.grad[0], -2 * weight * difference)
    selected = torch.stack([codec.centroids.grad[j, code] for j, code in enumerate(codes[0])]).flatten()
    assert torch.allclose(selected, 2 * weight * difference)


def test_error_is_a_mean_over_rows_and_a_sum_over_dimensions():
    assert float(quantization_error(torch.zeros(4, 3), torch.ones(4, 3))) == 3


def nearest(codec, rows):
    """Nearest centroids (n, m) of the parts of rotated rows."""
    return codec.distances(rows).argmin(dim=2).T


def test_distances_under_a_large_common_offset():
    codec = random_codec(seed=5)
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(4))
    expected = nearest(codec, rows)
    with torch.no_grad():
        codec.centroids += 1000
    assert torch.equal(nearest(codec, rows + 1000), expected)


def test_balanced_codes_use_the_centroids_evenly():
    codec = random_codec(m=2, k=8, width=3, seed=6)
    rows = torch.randn(256, 6, generator=torch.Generator().manual_seed(7))
    codes, _ = codec.balanced_codes(rows, epsilon=0.02, n_iter=3000)
    worst = max(int(torch.bincount(codes[:, j], minlength=8).max()) for j in range(2))
    unbalanced = max(int(torch.bincount(nearest(codec, rows)[:, j], minlength=8).max()) for j in range(2))
    assert worst <= 36 < unbalanced


def test_a_translated_codebook_ranks_the_same():
    """Adding one vector to a whole codebook with frozen codes shifts all scores of a query by a constant."""
    codec = random_codec(seed=8)
    codes = torch.randint(0, 4, (20, 3), generator=torch.Generator().manual_seed(9))
    query = torch.randn(6, generator=torch.Generator().manual_seed(10))
    before = codec.decode(codes).detach() @ query
    with torch.no_grad():
        codec.centroids[1] += torch.tensor([0.3, -0.2])
    shift = codec.decode(codes).detach() @ query - before
    assert torch.allclose(shift, shift[0].expand(20), atol=1e-5)


def test_rotation_and_centroids_must_fit():
    with pytest.raises(DimensionError, match="3 x 2 = 6"):
        TrainableCodec(torch.eye(4), torch.zeros(3, 4, 2))
