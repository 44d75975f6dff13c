"""The lattice of a plane, found blind.

Short-range order is the same in every reciprocal cell, so the transform of I / I_FF has its
power at the points of a direct lattice (in the plane, a few cells around zero), while what
a wrong form factor leaves lies near zero. The strongest point is found first and taken out
together with its multiples, for their side lobes (dead zones are harsh windows) would
outshine the next; then the next, together with its sums with the first; and so on. Of all
lattices spanned by those points, their halves, sums and differences, the sparsest that
holds the most of their strength is taken. All planes of a batch are treated at once, on
whatever device they lie.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["find_lattice", "strongest_points"]

#: Points that are looked for, multiples of the first and its sums with the others.
POINTS, MULTIPLES, SIDES = 4, 6, 2
#: Rounds in which the first is improved; a second one helps little.
REFINEMENTS = 1
#: Nearer to zero [cycles across the plane] there is only what the form factor leaves.
NEAREST = 2.5
#: Radius [cycles] within which a point belongs to a lattice.
TOLERANCE = 0.5
#: What an e-fold denser lattice must gain, in units of all points' strength.
PARSIMONY = 0.02
#: Cells a lattice must have across both directions, multiplied.
FEWEST = 6.0
#: Highest index of a point.
HIGHEST = 5


def find_lattice(quotient: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Direct lattices of some planes from estimates of their order.

    Parameters
    ----------
    quotient : Tensor, shape (n, rows, columns)
        I / I_FF, as well as it is known.
    weight : Tensor, same shape
        How well; zero where nothing was measured.

    Returns
    -------
    lattice : Tensor, shape (n, 2, 2)
        Rows are lattice vectors [cycles a pixel along rows and columns]: order repeats
        itself whenever ``lattice @ (row, column)`` changes by integers.
    strength : Tensor, shape (n,)
        Fraction of the strength of the points found that lies on this lattice.
    """
    shape = quotient.shape[-2:]
    cycles, strengths = strongest_points(quotient.float(), weight.float())
    lattice, held = _sparsest(cycles.double(), strengths.double(), float(min(shape)))
    lattice = lattice / torch.tensor(shape, dtype=lattice.dtype, device=lattice.device)
    # Where nothing varies, everything repeats itself every pixel.
    known = weight * quotient
    flat = (known.amax(dim=(1, 2)) == known.amin(dim=(1, 2)))[:, None, None]
    identity = torch.eye(2, dtype=lattice.dtype, device=lattice.device)
    lattice = torch.where(flat, identity, lattice)
    held = torch.where(flat[:, 0, 0], torch.zeros_like(held), held)
    return lattice.float(), held.float()


def _low_pass(image: Tensor, width: float) -> Tensor:
    """Images without all but their widest features; nothing beyond the edges."""

    def matrix(n: int) -> Tensor:
        x = torch.arange(n, device=image.device, dtype=image.dtype)
        return torch.exp(-((x[:, None] - x) ** 2) / (2 * width**2)) / n

    return matrix(image.shape[-2]) @ image @ matrix(image.shape[-1])


def strongest_points(quotient: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Strongest points of the transforms of some images, without their neighbours.

    Parameters
    ----------
    quotient, weight : Tensor, shape (n, rows, columns)
        See `find_lattice`.

    Returns
    -------
    points : Tensor, shape (n, 4, 2)
        Cycles across the plane along rows and columns.
    strength : Tensor, shape (n, 4)
        Amplitude of each with its multiples, or with its sums with the first.
    """
    rows, columns = quotient.shape[-2:]
    width = 0.1 * min(rows, columns)
    mean = _low_pass(weight * quotient, width) / (_low_pass(weight, width) + 1e-9)
    # Twice as many samples of the transform, so that points lie near one of them.
    shape = (2 * rows, 2 * columns)
    y = torch.fft.fftfreq(shape[0], 2 / shape[0], device=quotient.device)[:, None]
    x = torch.fft.rfftfreq(shape[1], 2 / shape[1], device=quotient.device)[None]
    allowed = (torch.hypot(y, x) > NEAREST) & (y.abs() < rows / 2 - 1) & (x < columns / 2 - 1)
    model = _Waves(
        weight * (quotient - mean), weight, 2 * (MULTIPLES + (POINTS - 1) * (2 * SIDES + 2))
    )
    points: list[Tensor] = []
    strengths: list[Tensor] = []
    sides = torch.arange(-SIDES, SIDES + 1, device=quotient.device)
    members = [MULTIPLES] + [2 * SIDES + 2] * (POINTS - 1)
    for number in range(POINTS):
        # Squares order as amplitudes do.
        power = torch.view_as_real(torch.fft.rfft2(model.rest, s=shape)).square().sum(dim=-1)
        point = _summit(power, (power * allowed).flatten(1).argmax(dim=1)) / 2
        if number == 0:
            point = model.add_multiples(point)
        else:
            sums = point[:, None] + sides[:, None] * points[0][:, None]
            model.add(torch.cat([sums, 2 * point[:, None]], dim=1))
        points.append(point)
    power = model.found[:, ::2].square() + model.found[:, 1::2].square()
    strengths = [part.sum(dim=1).sqrt() for part in power.split(members, dim=1)]
    return torch.stack(points, dim=1), torch.stack(strengths, dim=1)


class _Waves:
    """Plane waves fitted to what was measured.

    Parameters
    ----------
    data, weight : Tensor, shape (n, rows, columns)
        Weighted data, and the weight with which waves are multiplied.
    room : int
        Sines and cosines there will be at most.
    """

    def __init__(self, data: Tensor, weight: Tensor, room: int) -> None:
        n, rows, columns = data.shape
        self.data, self.weight = data, weight
        self.rest = data
        self.found = data.new_empty((n, 0))
        self._phases = [
            2 * torch.pi / size * torch.arange(size, device=data.device)
            for size in (rows, columns)
        ]
        self._waves = data.new_empty((n, room, rows * columns))
        self._normal = data.new_zeros((n, room, room), dtype=torch.float64)
        self._right = data.new_zeros((n, room, 1), dtype=torch.float64)
        self._count = 0

    def add(self, frequencies: Tensor) -> None:
        """Fit with some more frequencies (n, k, 2) [cycles across the data]."""
        first = self._count
        last = self._count = first + 2 * frequencies.shape[1]
        y, x = (frequencies[:, :, k, None] * phase for k, phase in enumerate(self._phases))
        along_rows = [image[..., None] * self.weight[:, None] for image in (y.cos(), y.sin())]
        along_columns = [image[:, :, None] for image in (x.cos(), x.sin())]
        room = self._waves[:, first:last].view(
            len(y), frequencies.shape[1], 2, *self.data.shape[1:]
        )
        torch.mul(along_rows[0], along_columns[0], out=room[:, :, 0])
        room[:, :, 0].addcmul_(along_rows[1], along_columns[1], value=-1)
        torch.mul(along_rows[0], along_columns[1], out=room[:, :, 1])
        room[:, :, 1].addcmul_(along_rows[1], along_columns[0])
        waves = self._waves[:, :last]
        products = (waves[:, first:] @ waves.mT).double()
        self._normal[:, first:last, :last] = products
        self._normal[:, :last, first:last] = products.mT
        self._right[:, first:last] = (
            waves[:, first:] @ self.data.flatten(1)[..., None]
        ).double()
        self.found = self._solved(self._right[:, :last])[..., 0].float()
        fit = self.found[:, None] @ waves
        self.rest = self.data - fit.view_as(self.data)

    def _solved(self, right: Tensor) -> Tensor:
        """Coefficients of the waves for some right-hand sides (n, waves, k)."""
        matrix = self._normal[:, : self._count, : self._count].clone()
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        diagonal += 1e-4 * (diagonal + diagonal.amax(dim=1, keepdim=True)) + 1e-12
        return torch.linalg.solve(matrix, right)

    def add_multiples(self, point: Tensor) -> Tensor:
        """Fit with a frequency (n, 2) and its multiples, and improve it with them."""
        multiples = torch.arange(1, MULTIPLES + 1, device=point.device)[:, None]
        order = multiples.expand(-1, 2).flatten()
        for _ in range(REFINEMENTS):
            self._count = 0
            self.add(multiples * point[:, None])
            # How the fit changes with the frequency: sines for cosines, times the phase.
            turned = self.found.unflatten(1, (-1, 2)).flip(2) * self.found.new_tensor([1, -1])
            waves = self._waves[:, : self._count]
            slope = ((order * turned.flatten(1))[:, None] @ waves).view_as(self.data)
            slopes = torch.stack(
                [slope * self._phases[0][:, None], slope * self._phases[1]], dim=1
            ).flatten(2)
            # What the waves themselves can take up is not the frequency's.
            taken = self._solved((waves @ slopes.mT).double()).float()
            slopes = slopes - taken.mT @ waves
            normal = (slopes @ slopes.mT).double()
            hold = 1e-6 * normal.diagonal(dim1=1, dim2=2).sum(dim=1) + 1e-12
            right = (slopes @ self.rest.flatten(1)[..., None]).double()
            step = torch.linalg.solve(normal + hold[:, None, None] * _eye(normal), right)
            point = point + step[..., 0].float().clamp(-0.25, 0.25)
        self._count = 0
        self.add(multiples * point[:, None])
        return point


def _eye(like: Tensor) -> Tensor:
    return torch.eye(2, dtype=like.dtype, device=like.device)


def _summit(power: Tensor, index: Tensor) -> Tensor:
    """Positions (n, 2) of maxima between samples, by parabolas through the logarithm."""
    n, rows, columns = power.shape
    row, column = index // columns, index % columns
    planes = torch.arange(n, device=power.device)

    def at(y: Tensor, x: Tensor) -> Tensor:
        # The half that is not stored is the other, turned.
        turned = x < 0
        y = torch.where(turned, -y, y) % rows
        return torch.log(power[planes, y, x.abs().clamp(max=columns - 1)] + 1e-30)

    def between(before: Tensor, here: Tensor, after: Tensor) -> Tensor:
        curvature = before - 2 * here + after
        shift = (before - after) / (2 * curvature)
        return torch.where(curvature < 0, shift.clamp(-0.5, 0.5), torch.zeros_like(shift))

    here = at(row, column)
    up = between(at(row - 1, column), here, at(row + 1, column))
    along = between(at(row, column - 1), here, at(row, column + 1))
    row = torch.where(row < rows // 2, row, row - rows)
    return torch.stack([row + up, column + along], dim=1)


def _sparsest(points: Tensor, strengths: Tensor, pixels: float) -> tuple[Tensor, Tensor]:
    """Lattices of fewest points that hold the given ones (n, points, 2)."""
    share = strengths / strengths.sum(dim=1, keepdim=True).clamp(min=1e-30)
    # No variation at all in the second direction: it repeats itself every pixel.
    across = points.flip(2) * points.new_tensor([-1, 1])
    across = across / points.norm(dim=2, keepdim=True).clamp(min=1e-9) * pixels
    i, j = torch.triu_indices(points.shape[1], points.shape[1], 1, device=points.device)
    sums = torch.cat([points[:, j] - points[:, i], points[:, j] + points[:, i]], dim=1)
    candidates = torch.cat([points, points / 2, across, sums, sums / 2], dim=1)
    i, j = torch.triu_indices(candidates.shape[1], candidates.shape[1], 1, device=points.device)
    a, b = candidates[:, i], candidates[:, j]
    area = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    far = candidates.norm(dim=2) > NEAREST
    enough = (area.abs() > FEWEST) & far[:, i] & far[:, j]
    area = torch.where(enough, area, torch.ones_like(area))
    # Indices of the points: p = h a + k b.
    y, x = points[:, None, :, 0], points[:, None, :, 1]
    a_y, a_x, b_y, b_x = (v[..., None] for v in (*a.unbind(-1), *b.unbind(-1)))
    h = (y * b_x - x * b_y) / area[..., None]
    k = (x * a_y - y * a_x) / area[..., None]
    whole_h, whole_k = h.round(), k.round()
    h, k = h - whole_h, k - whole_k
    off = (h * a_y + k * b_y).square() + (h * a_x + k * b_x).square()
    fit = (1 - off / TOLERANCE**2).clamp(min=0)
    fit = fit * (torch.maximum(whole_h.abs(), whole_k.abs()) <= HIGHEST)
    held = (fit * share[:, None]).sum(dim=2)
    score = held + PARSIMONY * area.abs().log()
    score = score - 1e-4 * (a.square().sum(dim=2) + b.square().sum(dim=2)) / area.abs()
    best = score.masked_fill(~enough, -math.inf).argmax(dim=1)
    planes = torch.arange(len(points), device=points.device)
    lattice = torch.stack([a[planes, best], b[planes, best]], dim=1)
    # Least squares of all points on it; directions that none fixes stay.
    heavy = (share * fit[planes, best]).square()
    index = torch.stack([whole_h[planes, best], whole_k[planes, best]], dim=2)
    hold = 1e-6 * heavy.sum(dim=1).clamp(min=1e-30)[:, None, None]
    normal = index.mT @ (heavy[..., None] * index) + hold * _eye(index)
    right = index.mT @ (heavy[..., None] * points) + hold * lattice
    lattice = torch.linalg.solve(normal, right)
    some = enough.any(dim=1)
    lattice = torch.where(some[:, None, None], lattice, pixels * _eye(lattice))
    return lattice, torch.where(some, held[planes, best], torch.zeros_like(held[:, 0]))
