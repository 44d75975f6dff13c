"""Fourier bases of the two factors and the sums over pixels that tie them.

The form factor is a trigonometric polynomial over a disc of regularly spaced real-space
points (the difference molecule's autocorrelation), the short-range order one over the
lattice. Both live on the rectangle of pixels, so every entry of the normal matrix is a
Fourier sum over pixels: of a weight field at differences of regular points (one FFT), at
differences of lattice vectors, or at mixed ones (two small matrix products each).

All arrays have a leading batch axis, one entry a plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dsfunet_core.lattice import index_box

__all__ = ["FormFactorBasis", "SroBasis", "half_set"]

#: Period of the form factor's Fourier series in units of the image: a margin keeps one
#: edge of the plane from having to match the opposite one.
PADDING = 1.125
#: Waves of more cycles a pixel, along either axis, pass for waves of less than 0.3.
FINEST = 0.7


def _fast_length(n: int) -> int:
    """Smallest 2-3-5-smooth number ≥ n, for quick FFTs."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def half_set(indices: np.ndarray) -> np.ndarray:
    """The index pairs with (i > 0) or (i = 0 and j > 0): one of every ± pair."""
    i, j = indices[:, 0], indices[:, 1]
    return indices[(i > 0) | ((i == 0) & (j > 0))]


@dataclass(frozen=True, eq=False)
class FormFactorBasis:
    """Real basis √2·cos, √2·sin on a half disc of real-space points.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    indices : Tensor of int64, shape (m, 2)
        Points in units of one cycle per padded period; (0, 0) comes first.
    period : tuple of int
        Padded period along rows and columns [pixels].
    centric : bool
        Leave the sines out: the plane has an inversion centre at pixel ``origin``.
    origin : Tensor, shape (batch, 2)
        Inversion centre; without one the phases are counted from pixel (0, 0).
    """

    shape: tuple[int, int]
    indices: Tensor
    period: tuple[int, int]
    centric: bool
    origin: Tensor

    @staticmethod
    def build(
        shape: tuple[int, int], spacing: np.ndarray, reach: float, centric: bool, origin: Tensor
    ) -> FormFactorBasis:
        """Basis over every point with |x| ≤ reach.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns.
        spacing : ndarray, shape (2, 2)
            Maps cycles per pixel (row, column) to real space [Å or any unit].
        reach : float
            Radius of the disc, in that unit.
        centric : bool
            Cosines only.
        origin : Tensor, shape (batch, 2)
            Phase origin [pixels].
        """
        period = (
            _fast_length(math.ceil(PADDING * shape[0])),
            _fast_length(math.ceil(PADDING * shape[1])),
        )
        # Bounding box of the ellipse |spacing · (i/period)| ≤ reach.
        scaled = spacing / np.array(period)
        inverse = np.linalg.inv(scaled)
        box = np.floor(reach * np.linalg.norm(inverse, axis=1)).astype(int)
        i, j = np.mgrid[-box[0] : box[0] + 1, -box[1] : box[1] + 1]
        points = np.stack([i.ravel(), j.ravel()], 1)
        points = points[np.linalg.norm(points @ scaled.T, axis=1) <= reach]
        points = np.concatenate([np.zeros((1, 2), int), half_set(points)])
        indices = torch.as_tensor(points, device=origin.device)
        return FormFactorBasis(shape, indices, period, centric, origin)

    @property
    def size(self) -> int:
        """Number of real unknowns."""
        m = len(self.indices)
        return m if self.centric else 2 * m - 1

    def radius(self, spacing: np.ndarray) -> Tensor:
        """|x| of every real unknown, shape (size,), in the unit of ``spacing``."""
        scaled = torch.as_tensor(spacing / np.array(self.period), device=self.indices.device)
        r = torch.linalg.vector_norm(self.indices.to(scaled.dtype) @ scaled.T, dim=1)
        return r if self.centric else torch.cat([r, r[1:]])

    def _origin_phase(self) -> Tensor:
        """exp(2πi q·origin), shape (batch, m).

        Only an inversion centre needs its phases counted from there; without one the
        choice merely turns cosines into sines, and pixel (0, 0) is the quickest.
        """
        if not self.centric:
            shape = (len(self.origin), len(self.indices))
            return torch.ones(shape, dtype=torch.complex128, device=self.origin.device)
        period = torch.as_tensor(self.period, dtype=torch.float64, device=self.indices.device)
        q = self.indices / period
        return torch.exp(2j * math.pi * (self.origin @ q.T))

    def synthesize(self, coefficients: Tensor) -> Tensor:
        """Function on the pixels from its coefficients, (batch, size) → (batch, H, W)."""
        m = len(self.indices)
        c = coefficients[:, :m].to(torch.complex128)
        if not self.centric:
            c[:, 1:] = c[:, 1:] - 1j * coefficients[:, m:]
        c = c * self._origin_phase().conj() / math.sqrt(2)
        grid = torch.zeros((len(c), *self.period), dtype=c.dtype, device=c.device)
        grid[:, self.indices[:, 0] % self.period[0], self.indices[:, 1] % self.period[1]] = c
        # Twice the real part supplies the other half of the disc.
        full = torch.fft.ifft2(grid, norm="forward")
        return 2 * full.real[:, : self.shape[0], : self.shape[1]]

    def analyze(self, field: Tensor) -> Tensor:
        """Adjoint of :meth:`synthesize`, (batch, H, W) → (batch, size)."""
        transform = torch.fft.fft2(field, s=self.period)
        g = transform[
            :, self.indices[:, 0] % self.period[0], self.indices[:, 1] % self.period[1]
        ]
        g = g * self._origin_phase() * math.sqrt(2)
        return g.real if self.centric else torch.cat([g.real, -g.imag[:, 1:]], dim=1)

    @cached_property
    def _sums_and_differences(self) -> tuple[Tensor, Tensor]:
        """Flat positions in the transform of i + j and i − j, (m, m) each."""
        p0, p1 = self.period
        i, j = self.indices[:, 0], self.indices[:, 1]
        plus = ((i[:, None] + i) % p0) * p1 + (j[:, None] + j) % p1
        minus = ((i[:, None] - i) % p0) * p1 + (j[:, None] - j) % p1
        return plus, minus

    def gram(self, weight: Tensor) -> Tensor:
        """Basisᵀ · diag(weight) · basis, (batch, H, W) → (batch, size, size)."""
        transform = torch.fft.fft2(weight, s=self.period).flatten(1)
        plus, minus = self._sums_and_differences
        batch, m = len(weight), len(self.indices)
        if self.centric:
            phase = self._origin_phase()
            same = transform[:, plus] * (phase[:, :, None] * phase[:, None, :])
            other = transform[:, minus] * (phase[:, :, None] * phase.conj()[:, None, :])
            return same.real + other.real
        real, imag = transform.real.contiguous(), transform.imag.contiguous()
        matrix = weight.new_empty(batch, self.size, self.size)
        same, other = real[:, plus], real[:, minus]
        torch.add(other, same, out=matrix[:, :m, :m])
        torch.sub(other[:, 1:, 1:], same[:, 1:, 1:], out=matrix[:, m:, m:])
        torch.sub(imag[:, minus[:, 1:]], imag[:, plus[:, 1:]], out=matrix[:, :m, m:])
        matrix[:, m:, :m] = matrix[:, :m, m:].transpose(1, 2)
        return matrix

    def variance(self, covariance: Tensor) -> Tensor:
        """Variance of the function on the pixels, (batch, size, size) → (batch, H, W).

        Products of cosines and sines are those of sums and differences: one FFT.
        """
        m = len(self.indices)
        cc = covariance[:, :m, :m]
        if self.centric:
            phase = self._origin_phase().conj()
            same = cc * (phase[:, :, None] * phase[:, None, :])
            other = cc * (phase[:, :, None] * phase.conj()[:, None, :])
        else:
            ss = torch.nn.functional.pad(covariance[:, m:, m:], (1, 0, 1, 0))
            cs = torch.nn.functional.pad(covariance[:, :m, m:], (1, 0))
            same, other = torch.complex(cc - ss, -2 * cs), torch.complex(cc + ss, 2 * cs)
        plus, minus = (x.flatten() for x in self._sums_and_differences)
        grid = torch.zeros(
            (len(cc), math.prod(self.period)), dtype=same.dtype, device=cc.device
        )
        grid.index_add_(1, plus, same.flatten(1)).index_add_(1, minus, other.flatten(1))
        full = torch.fft.ifft2(grid.reshape(-1, *self.period), norm="forward").real
        return full[:, : self.shape[0], : self.shape[1]]


@dataclass(frozen=True, eq=False)
class SroBasis:
    """Real basis 2·cos, −2·sin of the short-range order over a half set of lattice vectors.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    indices : ndarray of int, shape (m, 2)
        Half set of in-plane indices (u₁, u₂).
    row, column : Tensor of complex, shapes (batch, m, H) and (batch, m, W)
        exp(2πi r_u·p) split into its two factors.
    centric : bool
        Leave the sines out: C_u is real, as on planes of integer or half-integer offset.
    distance : Tensor, shape (batch, m)
        Length of the direct-lattice vectors in units of the lattice constant (square
        root of the cell's area).
    """

    shape: tuple[int, int]
    indices: np.ndarray
    row: Tensor
    column: Tensor
    centric: bool
    distance: Tensor
    cells: Tensor

    @staticmethod
    def build(
        shape: tuple[int, int],
        order: int,
        basis: Tensor,
        origin: Tensor,
        centric: bool,
        spacing: np.ndarray,
        resolved: bool = False,
    ) -> SroBasis:
        """Basis over 0 < max(|u₁|, |u₂|) ≤ order.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns.
        order : int
            Largest in-plane index.
        basis : Tensor, shape (batch, 2, 2)
            Columns: in-plane reciprocal-lattice vectors in pixels.
        origin : Tensor, shape (batch, 2)
            Pixel the phases are counted from.
        centric : bool
            Cosines only.
        spacing : ndarray, shape (2, 2)
            Maps cycles per pixel to real space.
        resolved : bool
            Leave out waves that the pixels take for much longer ones.
        """
        indices = half_set(index_box(order))
        if resolved:
            waves = indices @ np.linalg.inv(basis[0].cpu().numpy())
            indices = indices[np.abs(waves).max(axis=1) < FINEST]
        return SroBasis._over(shape, indices, basis, origin, centric, spacing)

    def with_lattice(self, basis: Tensor, origin: Tensor, spacing: np.ndarray) -> SroBasis:
        """The same indices on another lattice; parameters as those of :meth:`build`."""
        return SroBasis._over(self.shape, self.indices, basis, origin, self.centric, spacing)

    @staticmethod
    def _over(
        shape: tuple[int, int],
        indices: np.ndarray,
        basis: Tensor,
        origin: Tensor,
        centric: bool,
        spacing: np.ndarray,
    ) -> SroBasis:
        direct = torch.linalg.inv(basis).transpose(1, 2)
        r = torch.as_tensor(indices, dtype=torch.float64, device=basis.device)
        r = r @ direct.transpose(1, 2)
        rows = torch.arange(shape[0], dtype=torch.float64, device=basis.device)
        columns = torch.arange(shape[1], dtype=torch.float64, device=basis.device)
        row = torch.exp(2j * math.pi * r[:, :, 0, None] * (rows - origin[:, None, :1]))
        column = torch.exp(2j * math.pi * r[:, :, 1, None] * (columns - origin[:, None, 1:]))
        to_space = torch.as_tensor(spacing, dtype=torch.float64, device=basis.device)
        constant = torch.linalg.det(to_space @ direct).abs().sqrt()
        distance = torch.linalg.vector_norm(r @ to_space.T, dim=2) / constant[:, None]
        cells = shape[0] * shape[1] * torch.linalg.det(direct).abs()
        return SroBasis(shape, indices, row, column, centric, distance, cells)

    @property
    def size(self) -> int:
        """Number of real unknowns."""
        return len(self.indices) * (1 if self.centric else 2)

    def complex_values(self, coefficients: Tensor) -> Tensor:
        """C_u from the real unknowns, (batch, size) → (batch, m)."""
        m = len(self.indices)
        if self.centric:
            return coefficients.to(torch.complex128)
        return torch.complex(coefficients[:, :m], coefficients[:, m:])

    def synthesize(self, coefficients: Tensor) -> Tensor:
        """S − 1 on the pixels, (batch, size) → (batch, H, W)."""
        c = self.complex_values(coefficients)
        return 2 * torch.matmul((self.row * c[:, :, None]).transpose(1, 2), self.column).real

    def _split(self, g: Tensor, dim: int) -> Tensor:
        """Projections onto 2cos and −2sin from Σ y·exp(+iθ)."""
        return 2 * g.real if self.centric else torch.cat([2 * g.real, -2 * g.imag], dim=dim)

    def _sums(self, field: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Σ_p field(p)·row·column, one value a frequency."""
        half = torch.matmul(row, field.to(row.dtype))
        return (half * column).sum(-1)

    def analyze(self, field: Tensor) -> Tensor:
        """Adjoint of :meth:`synthesize`, (batch, H, W) → (batch, size)."""
        return self._split(self._sums(field, self.row, self.column), 1)

    def gram(self, weight: Tensor) -> Tensor:
        """Basisᵀ · diag(weight) · basis, (batch, H, W) → (batch, size, size)."""
        order = int(np.abs(self.indices).max())
        # Σ w exp(2πi r_d·p) at every difference d = u ± u' of the half set.
        d = index_box(2 * order)
        d = d[d[:, 0] >= 0]
        first = self._powers(self.row, d)
        second = self._powers(self.column, d)
        table = self._sums(weight, first, second).reshape(len(weight), 2 * order + 1, -1)
        u = torch.as_tensor(self.indices, device=weight.device)

        def gather(sign: int) -> Tensor:
            difference = u[:, None] + sign * u
            flip = difference[..., 0] < 0
            difference = torch.where(flip[..., None], -difference, difference)
            value = table[:, difference[..., 0], difference[..., 1] + 2 * order]
            return torch.where(flip, value.conj(), value)

        plus, minus = gather(1), gather(-1)
        cc = 2 * (minus.real + plus.real)
        if self.centric:
            return cc
        ss = 2 * (minus.real - plus.real)
        # (2cos_u)(−2sin_u') = −2[sin(u+u') − sin(u−u')]
        cs = 2 * (minus.imag - plus.imag)
        return torch.cat(
            [torch.cat([cc, cs], 2), torch.cat([cs.transpose(1, 2), ss], 2)], dim=1
        )

    def _powers(self, phases: Tensor, d: np.ndarray) -> Tensor:
        """exp(2πi r_d·p) along one pixel axis, from the phases of (1, 0) and (0, 1)."""
        lookup = {tuple(u): k for k, u in enumerate(self.indices.tolist())}
        first, second = phases[:, lookup[(1, 0)]], phases[:, lookup[(0, 1)]]
        exponent = torch.as_tensor(d, device=phases.device)
        return torch.exp(1j * torch.angle(first)[:, None] * exponent[:, :1]) * torch.exp(
            1j * torch.angle(second)[:, None] * exponent[:, 1:]
        )

    def cross(self, weight: Tensor, other: FormFactorBasis) -> Tensor:
        """Form-factor basisᵀ · diag(weight) · this basis, → (batch, other.size, size)."""
        p0, p1 = other.period
        i, j = other.indices[:, 0], other.indices[:, 1]
        device = weight.device
        i_range = torch.arange(-int(i.max()), int(i.max()) + 1, device=device)
        j_max = int(j.abs().max())
        j_range = torch.arange(-j_max, j_max + 1, device=device)
        rows = torch.arange(self.shape[0], device=device)
        columns = torch.arange(self.shape[1], device=device)
        e0 = torch.exp(-2j * math.pi / p0 * (i_range[:, None] * rows).to(torch.float64))
        e1 = torch.exp(-2j * math.pi / p1 * (columns[:, None] * j_range).to(torch.float64))
        field = weight.to(torch.complex128)
        phase = other._origin_phase()
        at = (i + int(i.max()), j + j_max)
        at_minus = (int(i.max()) - i, j_max - j)
        minus, plus = [], []
        for k in range(len(self.indices)):
            left = e0 * self.row[:, k, None, :]
            right = e1 * self.column[:, k, :, None]
            full = left @ field @ right  # Σ w e^{-iθ_j} e^{+iθ_u}
            minus.append(full[:, at[0], at[1]] * phase)
            plus.append((full[:, at_minus[0], at_minus[1]] * phase.conj()).conj())
        # minus: e^{-i(θ_j − θ_u)},  plus: e^{-i(θ_j + θ_u)}
        a, b = torch.stack(minus, 2), torch.stack(plus, 2)
        scale = math.sqrt(2)
        cc = scale * (a.real + b.real)
        cs = scale * (b.imag - a.imag)  # √2cos_j · (−2 sin_u)
        sc = scale * -(a.imag + b.imag)[:, 1:]  # √2sin_j · 2cos_u
        ss = -scale * (a.real - b.real)[:, 1:]  # √2sin_j · (−2 sin_u)
        if other.centric and self.centric:
            return cc
        if other.centric:
            return torch.cat([cc, cs], 2)
        if self.centric:
            return torch.cat([cc, sc], 1)
        return torch.cat([torch.cat([cc, cs], 2), torch.cat([sc, ss], 2)], 1)
