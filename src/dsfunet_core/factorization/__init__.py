"""Take planes of diffuse scattering apart into form factor and short-range order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import Factorization, SroCoefficients
from dsfunet_core.lattice import index_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.plane_data import PlaneData
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["METHODS", "Factorization", "SroCoefficients", "check_device", "factorize"]

#: Methods that :func:`factorize` knows.
METHODS = ("lattice", "network", "hybrid")


#: Order unless something else is asked for, and the largest that may be.
USUAL_ORDER, MOST_ORDER = 5, 12


class CancelToken(Protocol):
    """Anything like :class:`threading.Event`."""

    def is_set(self) -> bool:
        """Whether the computation should stop."""
        ...


def factorize(
    plane: ReciprocalPlane,
    method: str = "lattice",
    *,
    order: int | str = "auto",
    support: float | str = "auto",
    background: bool = False,
    robust: bool = True,
    errors: bool = True,
    refine_lattice: bool = False,
    weights: str | Path | None = None,
    device: str | None = None,
    callback: Callable[[int, int, str], None] | None = None,
    cancel: CancelToken | None = None,
) -> Factorization:
    """Factorize a plane of diffuse scattering: I_D = I_FF · I_SRO.

    Parameters
    ----------
    plane : ReciprocalPlane
        With its lattice known (cell, origin and steps) for ``"lattice"``.
    method : {"lattice", "network", "hybrid"}
        How. ``"lattice"`` refines both factors with the periodicity of the short-range
        order as the constraint. ``"network"`` is blind: a trained network, no lattice,
        no uncertainties; `order` to `errors` do not apply. ``"hybrid"`` is the lattice
        method with a network's help in dead zones; without a cell the lattice is searched
        for, and where none is found the network's factors are returned, ``method`` of the
        result says "network" and ``choices["why"]`` tells why.
    order : int or "auto"
        Largest in-plane index |u| of the short-range order: 5 includes correlations up
        to five cells away along each axis. ``"auto"`` is 5, or less where the plane has too
        few pixels a cell to tell so many apart.
    support : float or "auto"
        Radius in Å within which the difference molecule's autocorrelation lies (roughly
        the molecule's diameter); chosen by cross-validation for ``"auto"``.
    background : bool
        Refine a smooth additive background too.
    robust : bool
        Reject outliers such as leftover Bragg peaks.
    errors : bool
        Compute the covariance of the coefficients.
    refine_lattice : bool
        Refine the lattice as part of the solution: cell errors of half a percent, an origin
        off by a pixel. The shifts and their uncertainties are in ``choices``.
    weights : str or path-like, optional
        Which trained network; the bundled compact one when left out.
    device : str, optional
        Torch device such as ``"cuda"``; the CPU when left out.
    callback : callable, optional
        Called with (step, total, message) as the work proceeds.
    cancel : object with ``is_set()``, optional
        For example a :class:`threading.Event`; asked between cycles.

    Returns
    -------
    Factorization
        Factors, coefficients with covariance, and what was chosen on the way.

    Raises
    ------
    GeometryError
        If the plane has no lattice, or one too coarse or too fine for its pixels.
    ParameterError
        If a parameter is outside what is allowed, or the plane holds too little data.
    CancelledError
        If ``cancel`` was set.

    References
    ----------
    .. [1] C. A. Fuller & L. S. P. Rudden (2024). IUCrJ 11, eq. (5).
    """
    if method not in METHODS:
        raise ParameterError(
            f"method = {method!r} is not known; choose one of: {', '.join(METHODS)}."
        )
    if weights is not None and method == "lattice":
        raise ParameterError(
            f"weights = {str(weights)!r} with method = {method!r}; only the network has any "
            '(method = "network" or "hybrid").'
        )
    if method == "network":
        from dsfunet_core.factorization.network import factorize_by_network

        if background:
            raise ParameterError(
                'background = True: the network has no background term; use method = "lattice".'
            )
        if refine_lattice:
            raise ParameterError(
                "refine_lattice = True: the network uses no lattice; use method = "
                '"lattice" or "hybrid".'
            )
        check_device(device)
        return factorize_by_network(plane, weights=weights, device=device, callback=callback)
    if order != "auto" and not (isinstance(order, int) and 1 <= order <= MOST_ORDER):
        raise ParameterError(
            f'order = {order!r}; give a whole number from 1 to {MOST_ORDER}, or "auto".'
        )
    if support != "auto" and not (isinstance(support, int | float) and support > 0):
        raise ParameterError(
            f'support = {support!r}; give a radius in Å greater than 0, or "auto".'
        )
    check_device(device)
    radius = None if support == "auto" else float(support)
    cancelled = None if cancel is None else cancel.is_set
    if method == "lattice" and not plane.has_geometry:
        raise GeometryError(
            f"plane {plane.name!r} has no unit cell.",
            python="Give it cell, origin and steps (plane.replace(cell=..., ...)), or use "
            'method = "hybrid", which looks for the lattice itself.',
            terminal="Give it one (dsfunet convert IN placed.nxs --cell … --section …), or use "
            "--method hybrid, which looks for the lattice itself.",
            napari="Give it one in Plugins > Diffuse Scattering > Open file, or choose the "
            "method hybrid, which looks for the lattice itself.",
        )
    data = _plane_data(plane) if plane.has_geometry else None
    wanted = USUAL_ORDER if order == "auto" else int(order)
    if data is not None and order == "auto":
        wanted = max(1, _highest_order(plane.lattice.direct_basis, plane.shape, wanted))
    if data is not None:
        _check_resolved(plane.lattice.direct_basis, plane.shape, wanted)
    elif radius is not None:
        raise ParameterError(
            f"support = {support!r} is in Å, but plane {plane.name!r} has no cell and so no "
            "scale.",
            python='Use support = "auto", or give the plane its cell, origin and steps.',
            terminal="Leave --support out, or give the plane a cell: dsfunet convert --cell …",
            napari="Turn Support down to auto, or give the plane a cell in Plugins > Diffuse "
            "Scattering > Open file.",
        )
    if method == "hybrid":
        from dsfunet_core.factorization.hybrid import factorize_hybrid

        return factorize_hybrid(
            plane,
            data,
            order=wanted,
            highest_order=lambda direct: _highest_order(direct, plane.shape, wanted),
            support=radius,
            background=background,
            robust=robust,
            errors=errors,
            refine_lattice=refine_lattice,
            weights=weights,
            device=device,
            callback=callback,
            cancelled=cancelled,
        )
    # torch is imported only now, so that reading and slicing stay quick.
    from dsfunet_core.factorization.lattice import factorize_arrays

    assert data is not None
    solution = factorize_arrays(
        [data],
        order=wanted,
        support=radius,
        background=background,
        robust=robust,
        errors=errors,
        refine_lattice=refine_lattice,
        device=device,
        callback=callback,
        cancelled=cancelled,
    )[0]
    lattice, shifted = plane.lattice, {}
    if solution.shift is not None:
        lattice = replace(
            lattice, basis=solution.shift.basis, origin=np.asarray(solution.shift.origin)
        )
        shifted = {"lattice_from": "given", **solution.shift.as_choices()}
    return Factorization(
        plane=plane,
        method=method,
        form_factor=solution.form_factor,
        form_factor_sigma=solution.form_factor_sigma,
        sro=solution.sro,
        background=solution.background,
        weights=solution.weights,
        coefficients=SroCoefficients(solution.indices, solution.values, solution.covariance),
        lattice=lattice,
        choices={**shifted, **solution.choices},
    )


def check_device(device: str | None) -> None:
    """Refuse a torch device that is not there or has no double precision.

    Parameters
    ----------
    device : str or None
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; None is the CPU.

    Raises
    ------
    ParameterError
        With what to use instead.
    """
    import torch

    if device is None or device == "cpu":
        return
    kind = device.split(":")[0]
    if kind != "cuda":
        raise ParameterError(
            f'device = {device!r}; give "cpu" or "cuda". Other devices lack the double '
            "precision that the solver needs."
        )
    number = device.partition(":")[2] or "0"
    if not number.isdigit() or int(number) >= torch.cuda.device_count():
        raise ParameterError(
            f"device = {device!r}, but torch {torch.__version__} sees "
            f'{torch.cuda.device_count()} CUDA devices here. Use "cpu", or install a CUDA '
            "build of torch."
        )


def _check_resolved(direct: NDArray[np.float64], shape: tuple[int, int], order: int) -> None:
    """Refuse an order whose coefficients the pixels cannot tell apart.

    On a grid with eight pixels a cell, cos(5θ) and cos(3θ) along that axis are the same at
    every pixel.
    """
    highest = _highest_order(direct, shape, order)
    if highest < order:
        raise ParameterError(
            f"order = {order} needs more pixels a reciprocal cell than this plane has: its "
            "highest terms coincide at every pixel. "
            + (f"Use order = {highest}, or " if highest else "")
            + "a plane on a finer grid."
        )


def _highest_order(direct: NDArray[np.float64], shape: tuple[int, int], order: int) -> int:
    """Largest order up to ``order`` whose coefficients the pixels can tell apart.

    In the two outermost shells they need not: (5, v) and (−5, v) are each given half of
    what is seen, as mirror symmetry would, (5, v) and (−4, v) what their expected sizes say,
    with a σ that knows of the other.
    """
    for highest in range(order, 0, -1):
        box = index_box(highest)
        r = box @ direct.T
        apart = r[:, None] - r
        apart = np.abs(apart - np.rint(apart)) * shape
        edge = np.abs(box).max(axis=1) >= highest - 1
        apart[np.logical_and.outer(edge, edge)] = np.inf
        np.einsum("iij->ij", apart)[:] = np.inf
        if apart.max(axis=-1).min() > 0.5:
            return highest
    return 0


def _plane_data(plane: ReciprocalPlane) -> PlaneData:
    """Arrays for the solver, with everything the geometry tells it."""
    from dsfunet_core.factorization.plane_data import PlaneData

    lattice = plane.lattice
    pixels = np.linalg.norm(lattice.basis, axis=0)
    if pixels.min() < 3:
        raise GeometryError(
            f"a reciprocal cell is only {pixels.min():.1f} pixels wide on plane "
            f"{plane.name!r}; at least 3 are needed to see order between neighbours. "
            "Reconstruct on a finer grid."
        )
    cells = np.array(plane.shape) / np.abs(lattice.basis).max(axis=1)
    if cells.min() < 1.5:
        raise GeometryError(
            f"plane {plane.name!r} spans only {cells.min():.1f} reciprocal cells along one "
            "edge; the lattice constrains nothing below about two. Use a wider plane."
        )
    # Real space from cycles per pixel: |x|² = 4π² rᵀ·metric⁻¹·r [Å²].
    spacing = 2 * np.pi * np.linalg.cholesky(np.linalg.inv(plane.metric)).T
    twice = 2 * lattice.offset
    through_origin = bool(np.allclose(lattice.offset, 0, atol=1e-6))
    return PlaneData(
        intensity=np.asarray(plane.intensity, float),
        valid=plane.valid & np.isfinite(plane.intensity),
        basis=lattice.basis,
        origin=lattice.origin,
        spacing=spacing,
        q_norm=plane.q_norm(),
        variance=None if plane.variance is None else np.asarray(plane.variance, float),
        observations=None if plane.counts is None else np.asarray(plane.counts, float),
        real_coefficients=bool(np.allclose(twice, np.rint(twice), atol=1e-6)),
        inversion=True if through_origin else None,
    )
