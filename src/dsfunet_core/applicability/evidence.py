"""What the checks look at: residuals over their σ, and where they are in the lattice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.lattice import PlaneLattice

__all__ = ["Evidence", "neighbour_products"]

#: Distance from a reciprocal-lattice point that counts as near it, in mean lattice spacings …
NEAR = 0.12
#: … and at least so many pixels.
NEAR_PIXELS = 1.5
#: Classes of brightness in which the residuals near lattice points are compared with others,
#: and the pixels elsewhere that make a class.
BRIGHTNESS_CLASSES, CLASS_PIXELS = 5, 30
#: Half the width of the cells' part round a lattice vector, in units of the lattice, and of
#: the real space beyond which the residual's transform is noise, as a quantile.
AT_VECTOR, FAR = 0.25, 0.6


@dataclass(frozen=True, eq=False)
class Evidence:
    """Residual of a factorization by the lattice, weighted.

    Parameters
    ----------
    result : Factorization
        With weights and lattice.
    """

    result: Factorization

    @property
    def beyond_the_product(self) -> dict[str, dict[str, Any]]:
        """Scores of what no product takes up, by family; empty without uncertainties."""
        scores: dict[str, dict[str, Any]] = self.result.choices.get("beyond_the_product", {})
        return scores

    @property
    def lattice(self) -> PlaneLattice:
        """Reciprocal lattice of the plane."""
        assert self.result.lattice is not None
        return self.result.lattice

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Pixels that the fit used, shape of the plane."""
        weights = self.result.weights
        assert weights is not None
        return self.result.plane.valid & (weights > 0)

    @cached_property
    def model(self) -> NDArray[np.float64]:
        """Product of the factors, 0 where a pixel was not used."""
        return np.where(self.used, self.result.product, 0.0)

    @cached_property
    def residual(self) -> NDArray[np.float64]:
        """Observed minus product, 0 where a pixel was not used."""
        return np.where(self.used, self.result.plane.intensity - self.model, 0.0)

    @cached_property
    def root_weights(self) -> NDArray[np.float64]:
        """1/σ of every pixel on the scale on which Σz² is the number of pixels."""
        weights = self.result.weights
        assert weights is not None
        root = np.sqrt(np.where(self.used, weights, 0.0))
        scale = np.sqrt(((self.residual * root) ** 2).sum() / max(self.used.sum(), 1))
        return np.asarray(root / scale) if scale > 0 else root

    @cached_property
    def z(self) -> NDArray[np.float64]:
        """Residual over σ."""
        return self.residual * self.root_weights

    @cached_property
    def mean_intensity(self) -> float:
        """Mean of the product over the pixels used."""
        return float(self.model[self.used].mean())

    @cached_property
    def share(self) -> float:
        """Share of the plane's power that the residual holds, noise included."""
        return float((self.residual**2).sum() / (self.model**2).sum())

    @cached_property
    def structured_share(self) -> float:
        """Share of the plane's power that the residual holds in structure.

        Products of neighbouring pixels do not contain the noise, which is independent from
        pixel to pixel; unlike Σ(I − product)² the ratio is 0 where only noise is left.
        """
        own, _ = neighbour_products(self.residual, self.used)
        plane, _ = neighbour_products(self.model, self.used)
        return own / plane if plane > 0 else 0.0

    @cached_property
    def coordinates(self) -> NDArray[np.float64]:
        """Pixels in units of the in-plane reciprocal-lattice vectors, shape (..., 2)."""
        pixels = np.moveaxis(np.indices(self.used.shape), 0, -1) - self.lattice.origin
        return np.asarray(pixels @ np.linalg.inv(self.lattice.basis).T)

    @cached_property
    def near_lattice_points(self) -> NDArray[np.bool_]:
        """Pixels near a reciprocal-lattice point, shape of the plane."""
        basis = self.lattice.basis
        apart = (self.coordinates - np.rint(self.coordinates)) @ basis.T
        spacing = np.sqrt(abs(np.linalg.det(basis)))
        near = np.linalg.norm(apart, axis=-1) < max(NEAR * spacing, NEAR_PIXELS)
        return np.asarray(near)

    @cached_property
    def sums_at_lattice_points(self) -> NDArray[np.float64]:
        """Sum of the residuals around every reciprocal-lattice point over its σ, shape (n,).

        In units of the scatter of equally bright pixels elsewhere: weights are not perfect,
        and lattice points are the brightest or the darkest part of the cell.
        """
        near = self.near_lattice_points & self.used
        away = self.used & ~near
        if not near.any():
            return np.zeros(0)
        brightness = self.model * self.root_weights**2
        edges = np.quantile(brightness[near], np.linspace(0, 1, BRIGHTNESS_CLASSES + 1)[1:-1])
        squares, classes = self.z[away] ** 2, np.digitize(brightness[away], edges)
        number = np.bincount(classes, minlength=BRIGHTNESS_CLASSES)
        total = np.bincount(classes, squares, minlength=BRIGHTNESS_CLASSES)
        usual = np.where(number >= CLASS_PIXELS, total / np.maximum(number, 1), 1.0)
        usual = np.where(usual > 0, usual, 1.0)
        z = self.z[near] / np.sqrt(usual[np.digitize(brightness[near], edges)])
        points = np.rint(self.coordinates[near]).astype(np.int64)
        _, which = np.unique(points, axis=0, return_inverse=True)
        which = which.ravel()
        return np.asarray(np.bincount(which, z) / np.sqrt(np.bincount(which)))

    def excess_at_lattice_vectors(self, image: NDArray[np.float64], reach: float) -> float:
        """Power of an image's Fourier transform at short lattice vectors, in σ of noise.

        Half of what lies between the vectors is taken off: a form factor that the support
        has no room for leaves as much there.

        Parameters
        ----------
        image : ndarray, shape of the plane
            Residual, 0 where a pixel is not used.
        reach : float
            Largest coordinate looked at, in lattice vectors.
        """
        power = np.abs(np.fft.fft2(image)) ** 2
        coordinates = self.real_space(image.shape).coordinates
        size = np.abs(coordinates).max(axis=-1)
        noise = float(power[size > np.quantile(size, FAR)].mean())
        inside = (size > 0.5) & (size < reach)
        off = np.abs(coordinates - np.rint(coordinates)).max(axis=-1)
        at, between = inside & (off < AT_VECTOR), inside & (off >= AT_VECTOR)
        if noise <= 0 or not at.any() or not between.any():
            return 0.0
        above = power[at].mean() / noise - 1
        above -= 0.5 * max(float(power[between].mean()) / noise - 1, 0.0)
        # An image is real: half of its transform is independent, less where pixels are missing.
        return float(above * np.sqrt(at.sum() / 2 * self.used.mean()))

    def real_space(self, shape: tuple[int, int]) -> RealSpace:
        """Real-space grid of the Fourier transform of an image.

        Parameters
        ----------
        shape : tuple of int
            Shape of the image that is transformed.
        """
        frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
        cycles = np.stack(frequencies, axis=-1)
        return RealSpace(cycles, np.asarray(cycles @ self.lattice.basis), self.lattice)


@dataclass(frozen=True, eq=False)
class RealSpace:
    """Points of a Fourier transform in units of the direct lattice.

    Parameters
    ----------
    cycles : ndarray, shape (..., 2)
        Cycles per pixel.
    coordinates : ndarray, shape (..., 2)
        In units of the two direct-lattice vectors.
    lattice : PlaneLattice
        The lattice.
    """

    cycles: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    lattice: PlaneLattice

    @cached_property
    def constant(self) -> float:
        """Length of the shorter direct-lattice vector [cycles per pixel]."""
        return float(np.linalg.norm(self.lattice.direct_basis, axis=0).min())

    @cached_property
    def radius(self) -> NDArray[np.float64]:
        """Distance from the origin in lattice constants."""
        return np.asarray(np.linalg.norm(self.cycles, axis=-1) / self.constant)

    @cached_property
    def from_lattice_vector(self) -> NDArray[np.float64]:
        """Distance from the next lattice vector in lattice constants."""
        apart = self.coordinates - np.rint(self.coordinates)
        length = np.linalg.norm(apart @ self.lattice.direct_basis.T, axis=-1)
        return np.asarray(length / self.constant)


def neighbour_products(
    image: NDArray[np.float64], used: NDArray[np.bool_]
) -> tuple[float, int]:
    """Σ of the products of neighbours along rows and columns, and how many there are.

    Parameters
    ----------
    image : ndarray, shape (n_rows, n_columns)
        0 where a pixel is not used.
    used : ndarray of bool, shape (n_rows, n_columns)
        Pixels that count.
    """
    down, right = image[1:] * image[:-1], image[:, 1:] * image[:, :-1]
    pairs = int((used[1:] & used[:-1]).sum() + (used[:, 1:] & used[:, :-1]).sum())
    return float(down.sum() + right.sum()), pairs
