"""The Fourier bases against dense matrices built column by column."""

import numpy as np
import pytest
import torch

from dsfunet_core.factorization.transforms import FormFactorBasis, SroBasis, half_set
from dsfunet_core.lattice import index_box

SHAPE = (26, 31)
ORIGIN = torch.tensor([[13.0, 15.0], [12.5, 16.3]], dtype=torch.float64)
BASIS = torch.tensor([[[7.0, 1.0], [-0.5, 6.0]], [[5.0, 2.0], [1.0, 8.0]]], dtype=torch.float64)
SPACING = np.array([[1.3, 0.4], [0.0, 0.8]])


def bases(centric_f, centric_s):
    return (
        FormFactorBasis.build(SHAPE, SPACING, 0.13, centric_f, ORIGIN),
        SroBasis.build(SHAPE, 2, BASIS, ORIGIN, centric_s, SPACING),
    )


def dense(basis):
    unit = torch.eye(basis.size, dtype=torch.float64)
    columns = [basis.synthesize(row.expand(2, -1).clone()) for row in unit]
    return torch.stack(columns, -1)


@pytest.mark.parametrize("centric_f", [False, True])
@pytest.mark.parametrize("centric_s", [False, True])
def test_products_with_the_basis_agree_with_dense_matrices(centric_f, centric_s):
    f, s = bases(centric_f, centric_s)
    f_dense, s_dense = dense(f), dense(s)
    generator = torch.Generator().manual_seed(3)
    weight = torch.rand(2, *SHAPE, dtype=torch.float64, generator=generator)
    for basis, matrix in ((f, f_dense), (s, s_dense)):
        expected = torch.einsum("bhwk,bhw->bk", matrix, weight)
        torch.testing.assert_close(basis.analyze(weight), expected)
        expected = torch.einsum("bhwk,bhw,bhwl->bkl", matrix, weight, matrix)
        torch.testing.assert_close(basis.gram(weight), expected)
    expected = torch.einsum("bhwk,bhw,bhwl->bkl", f_dense, weight, s_dense)
    torch.testing.assert_close(s.cross(weight, f), expected)


def test_order_basis_is_the_cosine_series_of_eq_3():
    _, s = bases(False, False)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, len(s.indices))) + 1j * rng.normal(size=(2, len(s.indices)))
    unknowns = torch.as_tensor(np.concatenate([values.real, values.imag], 1))
    row, column = np.indices(SHAPE)
    for b in range(2):
        direct = np.linalg.inv(BASIS[b].numpy()).T
        expected = np.zeros(SHAPE)
        for (u, v), c in zip(s.indices, values[b], strict=True):
            r = direct @ (u, v)
            angle = r[0] * (row - ORIGIN[b, 0].item()) + r[1] * (column - ORIGIN[b, 1].item())
            expected += 2 * (c * np.exp(2j * np.pi * angle)).real
        np.testing.assert_allclose(s.synthesize(unknowns)[b].numpy(), expected, atol=1e-10)


def test_support_is_round_in_real_space_not_in_pixels():
    f, _ = bases(False, False)
    radius = f.radius(SPACING)
    assert radius.max() <= 0.13
    # Every grid point inside the disc is there: the basis and its mirror image fill it.
    i, j = np.indices((61, 61)) - 30
    points = np.stack([i.ravel(), j.ravel()], 1) / np.array(f.period)
    inside = np.linalg.norm(points @ SPACING.T, axis=1) <= 0.13
    assert 2 * len(f.indices) - 1 == inside.sum()


def test_half_set_takes_one_of_every_pair():
    box = index_box(3)
    half = half_set(box)
    assert len(half) == (len(box) - 1) / 2
    both = {tuple(x) for x in half} | {tuple(-x) for x in half}
    assert both == {tuple(x) for x in box} - {(0, 0)}
