"""What the dock for scans of a structure asks for, free of Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from napari_dsfunet.forms import Form, _entry

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.structures.compare import Target
    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.moves import Rotation
    from dsfunet_core.structures.scan import Scan

__all__ = ["ScanForm"]


@dataclass(frozen=True)
class ScanForm(Form):
    """A group that turns about a bond."""

    structure: str = _entry(
        "tris-amide",
        "Structure",
        "CIF, XYZ, SDF or MOL of A, or of A and B as two PARTs; tris-amide is the one of the "
        "sample.",
        placeholder="CIF, XYZ, SDF or MOL",
    )
    first: str = _entry(
        "N",
        "Axis from",
        "First atom of the bond.",
        choices={"N": "N"},
        open=True,
    )
    second: str = _entry(
        "C4",
        "Axis to",
        "Second atom of the bond: what hangs on it turns.",
        choices={"C4": "C4"},
        open=True,
    )
    low: float = _entry(
        -60.0, "From", "First angle.", low=-360.0, high=360.0, step=5, unit=" °", decimals=1
    )
    high: float = _entry(
        60.0, "To", "Last angle.", low=-360.0, high=360.0, step=5, unit=" °", decimals=1
    )
    step: float = _entry(
        1.0, "Step", "Between angles.", low=0.1, high=30, unit=" °", decimals=1
    )
    debye_waller: float = _entry(
        0.0,
        "D_w",
        "Debye–Waller factor exp(−D_w·Q²), to hold it at a value.",
        high=10.0,
        step=0.01,
        decimals=4,
        unit=" Å²",
        special="refined at every angle",
    )
    b_file: str = _entry(
        "",
        "File of B",
        "Second species on the same site, where it has a file of its own.",
        placeholder="none: B is a vacancy, or below",
        advanced=True,
    )
    b_from_a: str = _entry(
        "",
        "B from A",
        "Operation that makes B of A.",
        placeholder="x,y,1/2-z",
        advanced=True,
    )
    against: str = _entry(
        "form factor",
        "Against",
        "What the structure is compared with.",
        choices={
            "form factor": "the form factor of the result",
            "scattering": "the measured intensities, order included",
        },
        advanced=True,
    )
    q_min: float = _entry(
        0.0,
        "|Q| from",
        "Pixels nearer to Q = 0 do not count.",
        high=50.0,
        step=0.1,
        unit=" Å⁻¹",
        advanced=True,
    )
    q_max: float = _entry(
        0.0,
        "|Q| to",
        "Pixels further out do not count.",
        high=50.0,
        step=0.1,
        unit=" Å⁻¹",
        special="no limit",
        advanced=True,
    )
    radiation: str = _entry(
        "xray",
        "Radiation",
        "What scatters.",
        choices={"xray": "X-rays", "neutron": "neutrons", "electron": "electrons"},
        advanced=True,
    )

    def values(self) -> NDArray[np.float64]:
        """Angles, in degrees."""
        if self.high - self.low < 2 * self.step:
            raise ParameterError(
                f"from {self.low:g}° to {self.high:g}° in steps of {self.step:g}°: at least "
                "three rising angles were expected."
            )
        return np.arange(self.low, self.high + self.step / 2, self.step)

    def read(self, cell: gemmi.UnitCell | None) -> DisorderModel:
        """Structure of the form.

        Parameters
        ----------
        cell : gemmi.UnitCell
            Of the plane, to which operations refer.
        """
        from dsfunet_core.structures.files import read_model

        if not self.structure.strip():
            raise ParameterError("no structure is named; choose a file with Browse….")
        return read_model(
            self.structure.strip(),
            b=self.b_file.strip() or None,
            b_from_a=self.b_from_a.strip() or None,
            cell=cell,
        )

    def turn(self, model: DisorderModel) -> Rotation:
        """Rotation of what hangs on the bond.

        Parameters
        ----------
        model : DisorderModel
            The structure.
        """
        from dsfunet_core.structures.moves import torsion

        return torsion(model, (self.first, self.second))

    def target(self, result: Factorization) -> Target:
        """What the structure is compared with.

        Parameters
        ----------
        result : Factorization
            Of the plane.
        """
        from dsfunet_core.structures.compare import Target

        maker = Target.form_factor if self.against == "form factor" else Target.scattering
        return maker(result, q_range=(self.q_min, self.q_max or float("inf")))

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`dsfunet_core.structures.scan.scan`."""
        return {"debye_waller": self.debye_waller or None, "radiation": self.radiation}

    def compute(
        self, target: Target, model: DisorderModel, turn: Rotation, callback: Any
    ) -> Scan:
        """Scan."""
        from dsfunet_core.structures.scan import scan

        arguments = self.as_core_arguments()
        return scan(target, model, turn, self.values(), **arguments, callback=callback)

    def script(self) -> tuple[str, ...]:
        """``found`` from ``result``."""
        maker = self.against.replace(" ", "_")
        q_range = (
            f"({self.q_min!r}, {self.q_max!r})"
            if self.q_max
            else (f"({self.q_min!r}, float('inf'))")
        )
        options = "".join(
            f", {name}={value.strip()!r}"
            for name, value in (("b", self.b_file), ("b_from_a", self.b_from_a))
            if value.strip()
        )
        low, high, step = self.low, self.high, self.step
        return (
            "import numpy as np",
            "from dsfunet_core.structures.compare import Target",
            "from dsfunet_core.structures.files import read_model",
            "from dsfunet_core.structures.moves import torsion",
            "from dsfunet_core.structures.scan import scan",
            f"target = Target.{maker}(result, q_range={q_range})",
            f"model = read_model({self.structure.strip()!r}{options}, cell=target.plane.cell)",
            f"turn = torsion(model, ({self.first!r}, {self.second!r}))",
            f"angles = np.arange({low!r}, {high + step / 2!r}, {step!r})",
            f"found = scan({self._call('target', 'model', 'turn', 'angles')})",
        )
