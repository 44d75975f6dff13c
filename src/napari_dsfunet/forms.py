"""What the docks ask for: one dataclass a form, free of Qt.

The defaults fill the widgets, ``as_core_arguments`` is what the core is called with, and
``script`` is that call as a line of Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from dsfunet_core.errors import ParameterError
from dsfunet_core.symmetry import LAUE_CLASSES

if TYPE_CHECKING:
    from napari.types import LayerData

    from dsfunet_core.factorization import CancelToken
    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = [
    "OpenForm",
    "FactorizeForm",
    "Form",
    "SliceForm",
    "from_stored",
]

#: Laue classes by symbol, as the core spells them; "" leaves the choice to the file.
LAUE_CHOICES = {"": "as the file says", **{symbol: symbol for symbol in LAUE_CLASSES}}


def _entry(default: Any, label: str, tip: str, **layout: Any) -> Any:
    """Field of a form with its label, explanation, and limits where it has such."""
    return field(default=default, metadata={"label": label, "tip": tip, **layout})


def support_entry() -> Any:
    """Field for the radius of the form factor's support, of planes and volumes."""
    return _entry(
        0.0,
        "Support",
        "Radius in real space that holds the autocorrelation of the difference of the "
        "two molecules: about one molecule's diameter. Auto chooses by cross-validation.",
        high=200.0,
        step=0.5,
        unit=" Å",
        special="auto",
    )


@dataclass(frozen=True)
class Form:
    """What every form can do."""

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the core."""
        raise NotImplementedError

    def _call(self, *first: str) -> str:
        """Arguments of a call, as Python."""
        named = (f"{name}={value!r}" for name, value in self.as_core_arguments().items())
        return ", ".join([*first, *named])


@dataclass(frozen=True)
class OpenForm(Form):
    """A file that does not say all about itself."""

    path: str = _entry("", "File", "Any reconstruction, plane, detector image or array.")
    dataset: str = _entry(
        "",
        "Dataset",
        "Which of the arrays of an HDF5 file; a key of an .npz; a page of a TIFF.",
        choices={"": "the file's own choice"},
        open=True,
    )
    cell: str = _entry(
        "",
        "Unit cell",
        "a b c α β γ in Å and degrees. Empty: as the file says.",
        placeholder="as the file says; or 5.1 6.2 7.3 90 95 90 (Å, °)",
    )
    section: str = _entry(
        "",
        "Which plane",
        "Of an image: hk0, h0l, hhl, 2kl. Empty: as the file says.",
        placeholder="of an image: hk0, h0l, …",
    )
    axes: str = _entry(
        "",
        "Axes",
        "Which index runs along each array axis: kh for k down the rows and h along the "
        "columns, lkh for a volume.",
        placeholder="hk; kh for k down the rows",
    )
    limits: str = _entry(
        "",
        "Limits",
        "Index of the first and the last pixel's centre along each axis, in the order of "
        "Axes. They may fall: most images have their largest index in row 0.",
        placeholder="-8 8 -10 10 (r.l.u.)",
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`dsfunet_core.read`, those that are filled in."""
        arguments: dict[str, Any] = {}
        for name in ("dataset", "section", "axes"):
            if getattr(self, name).strip():
                arguments[name] = getattr(self, name).strip()
        for name, counts in (("cell", (6,)), ("limits", (4, 6))):
            text = getattr(self, name).strip()
            if text:
                arguments[name] = _numbers(name, text, counts)
        return arguments

    def compute(self) -> list[LayerData]:
        """Layers of the file."""
        from napari_dsfunet.reader import read_file

        if not self.path.strip():
            raise ParameterError("No file is named: choose one with Browse…")
        return read_file(self.path.strip(), **self.as_core_arguments())


def _numbers(name: str, text: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    """Numbers of a text, parted by blanks, commas or semicolons."""
    parts = text.replace(",", " ").replace(";", " ").replace("−", "-").split()
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) not in counts:
        wanted = " or ".join(map(str, counts))
        raise ParameterError(
            f"{name}: {text!r}; {wanted} numbers parted by blanks were expected."
        )
    return values


@dataclass(frozen=True)
class SliceForm(Form):
    """A plane to cut out of a volume."""

    plane: str = _entry(
        "hk1",
        "Plane",
        "Three indices, letters free and numbers fixed: hk1, h0l, hhl, h-hl, hk0.5. With "
        "commas also sums: h, h+1, l.",
    )
    grid: str = _entry(
        "native",
        "Grid",
        "The voxels as they are, or square pixels in Å⁻¹.",
        choices={"native": "native: voxels as they are", "cartesian": "cartesian: square"},
    )
    thickness: float = _entry(
        0.0,
        "Thickness",
        "Full thickness of the slab that is averaged, in r.l.u. of the fixed index.",
        high=100.0,
        step=0.1,
        unit=" r.l.u.",
        special="one layer",
    )
    size: int = _entry(
        256,
        "Pixels",
        "Pixels along each edge of a cartesian grid.",
        low=16,
        high=4096,
        step=64,
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :meth:`~dsfunet_core.ReciprocalVolume.section`."""
        arguments: dict[str, Any] = {"grid": self.grid, "thickness": self.thickness}
        if self.grid == "cartesian":
            arguments["size"] = self.size
        return arguments

    def compute(self, volume: ReciprocalVolume) -> ReciprocalPlane:
        """Cut the plane."""
        return volume.section(self.plane.strip(), **self.as_core_arguments())

    def script(self) -> tuple[str, ...]:
        """``plane`` from ``volume``."""
        return (f"plane = volume.section({self._call(repr(self.plane.strip()))})",)


@dataclass(frozen=True)
class FactorizeForm(Form):
    """How to take a plane apart."""

    method: str = _entry(
        "lattice",
        "Method",
        "With the reciprocal lattice of the file, by a trained network that needs none, or by "
        "both: the network finds the lattice where the file gives none, and fills dead zones.",
        choices={
            "lattice": "lattice: from cell and axes of the file",
            "hybrid": "hybrid: network and lattice, found where not given",
            "network": "network: blind, no lattice needed",
        },
    )
    model: str = _entry(
        "",
        "Model",
        "Trained weights of the network; the bundled ones where nothing is chosen.",
        choices={"": "bundled"},
        open=True,
    )
    device: str = _entry(
        "auto",
        "Compute on",
        "A graphics card where torch sees one, else the processor.",
        choices={"auto": "quickest"},
        open=True,
    )
    support: float = support_entry()
    refine_lattice: bool = _entry(
        False,
        "Refine the lattice",
        "Cell errors up to half a per cent and an origin off by a pixel are found and told.",
    )
    background: bool = _entry(
        False, "Background", "Refine a smooth additive background beside the two factors."
    )
    robust: bool = _entry(
        True, "Reject outliers", "Give pixels far off the model no weight, such as Bragg tails."
    )
    bragg_radius: float = _entry(
        0.0,
        "Bragg radius",
        "Spheres of this radius around the reciprocal-lattice points are left out. "
        "Plugins > Diffuse Scattering > Mask artefacts does it with more care.",
        high=5.0,
        step=0.02,
        decimals=3,
        unit=" Å⁻¹",
        special="no masking",
        advanced=True,
    )
    order: int = _entry(
        0,
        "Order",
        "Largest in-plane index of the short-range order: correlations up to so many "
        "cells away along each axis. Auto is 5, or less where the plane has too few pixels "
        "a cell.",
        high=12,
        special="auto",
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`dsfunet_core.factorize`."""
        arguments: dict[str, Any] = {"method": self.method}
        if self.method != "lattice" and self.model:
            arguments["weights"] = self.model
        if self.method != "network":
            arguments |= {
                "support": self.support if self.support > 0 else "auto",
                "background": self.background,
                "robust": self.robust,
                "order": self.order or "auto",
                "refine_lattice": self.refine_lattice,
            }
        if self.device != "auto":
            arguments["device"] = self.device
        return arguments

    def compute(
        self, plane: ReciprocalPlane, callback: Any = None, cancel: CancelToken | None = None
    ) -> Factorization:
        """Mask the Bragg peaks and factorize."""
        from dsfunet_core import devices, factorize, mask_bragg

        if self.bragg_radius > 0:
            plane = mask_bragg(plane, self.bragg_radius)
        arguments = {"device": devices.best(), **self.as_core_arguments()}
        return factorize(plane, **arguments, callback=callback, cancel=cancel)

    def script(self) -> tuple[str, ...]:
        """``result`` from ``plane``."""
        lines: tuple[str, ...] = ()
        if self.bragg_radius > 0:
            lines = (f"plane = dsfunet_core.mask_bragg(plane, {self.bragg_radius!r})",)
        call = self._call("plane")
        if self.device == "auto":
            lines = ("from dsfunet_core import devices", *lines)
            call += ", device=devices.best()"
        return (*lines, f"result = dsfunet_core.factorize({call})")


def from_stored(kind: type[Form], stored: dict[str, Any]) -> Form:
    """Form with the stored values that still fit its fields; defaults for the others.

    Parameters
    ----------
    kind : type
        Which form.
    stored : dict
        Name → value.
    """
    defaults = {f.name: f.default for f in fields(kind)}
    fitting = {
        name: value
        for name, value in stored.items()
        if name in defaults and type(value) is type(defaults[name])
    }
    return kind(**fitting)
