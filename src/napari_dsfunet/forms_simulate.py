"""What the dock that simulates planes asks for, free of Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.detectors import DETECTORS
from napari_dsfunet.forms import Form, _entry, _numbers

if TYPE_CHECKING:
    from dsfunet_core.simulate import DisorderedCrystal, SimulatedPlane

__all__ = ["ORDERS", "SimulateForm"]

#: Kinds of order that are offered.
ORDERS = {
    "neighbours": "nearest neighbours only",
    "monte carlo": "Monte Carlo, neighbours given",
    "oscillator": "damped oscillator, by shells",
    "none": "none: at random",
}
#: Where the beam falls on the detector, off its middle [mm], and its stop's holder.
_MOUNTED = {"beam": (20, 8), "arm_width": 3}
#: Crystals over which Monte Carlo averages.
_SAMPLES = 8


def _slider(default: float, label: str, tip: str, **layout: Any) -> Any:
    return _entry(default, label, tip, slider=True, **{"decimals": 2, "step": 0.01, **layout})


@dataclass(frozen=True)
class SimulateForm(Form):
    """A disordered crystal and what is measured of it."""

    mol_a: str = _entry(
        "toluene",
        "Molecule A",
        "One of the two that share a site: a fragment of the library, or a file.",
        choices={"toluene": "toluene"},
        open=True,
    )
    mol_b: str = _entry(
        "phenol",
        "Molecule B",
        "The other one; the same fragment turned, or a vacancy, will do.",
        choices={"phenol": "phenol"},
        open=True,
    )
    turn: float = _slider(
        0.0,
        "Turn B, °",
        "About c*, which is z of molecules, in degrees.",
        **{"low": -180.0, "high": 180.0, "step": 1.0, "decimals": 0},
    )
    concentration: float = _slider(
        0.5, "Share of A", "m_A: fraction of the sites that A occupies.", low=0.05, high=0.95
    )
    system: str = _entry(
        "orthorhombic",
        "Lattice",
        "The cell has room for both molecules, weighted by their shares (Vegard's law); type "
        "your own under Advanced.",
        choices={s: s for s in ("orthorhombic", "tetragonal", "hexagonal", "cubic")},
    )
    plane: str = _entry(
        "hk0",
        "Plane",
        "Three indices, letters free and numbers fixed: hk0, hk1, h0l, hhl, hk0.5.",
    )
    order: str = _entry(
        "neighbours",
        "Order",
        "How the two molecules are distributed over the sites.",
        choices=ORDERS,
    )
    alpha_a: float = _slider(
        -0.25,
        "α along a",
        "Warren–Cowley parameter of neighbours along a: below 0 unlike ones stand next to "
        "each other, above 0 like ones.",
        low=-1.0,
        high=1.0,
    )
    alpha_b: float = _slider(0.15, "α along b", "The same along b.", low=-1.0, high=1.0)
    alpha_c: float = _slider(0.0, "α along c", "The same along c.", low=-1.0, high=1.0)
    amplitude: float = _slider(
        0.6, "Amplitude", "A of α = A exp(−d x) cos(ω x) in the x-th shell.", high=1.5
    )
    decay: float = _slider(
        1.0, "Decay", "d of A exp(−d x) cos(ω x), a shell.", low=0.05, high=2.0
    )
    frequency: float = _slider(
        1.0, "Frequency", "ω of A exp(−d x) cos(ω x), radians a shell.", high=3.14
    )
    debye_waller: float = _entry(
        0.02,
        "D_w",
        "Debye–Waller factor: the form factor is damped by exp(−D_w·Q²).",
        high=10.0,
        step=0.01,
        decimals=4,
        unit=" Å²",
    )
    detector: str = _entry(
        "PILATUS 2M",
        "Detector",
        "Whose gaps, beam stop and edges leave dead zones.",
        choices={"": "none: the whole plane is measured", **{d: d for d in DETECTORS}},
    )
    counts: float = _entry(
        20.0,
        "Counts",
        "Mean counts in a measured pixel; they scatter as photons do.",
        high=1e6,
        step=1.0,
        decimals=1,
        unit=" a pixel",
        special="no noise",
    )
    cell: str = _entry(
        "",
        "Unit cell",
        "a b c α β γ in Å and degrees. Empty: by Vegard's law.",
        placeholder="from the molecules; or 7.4 9.1 6.8 90 104 90",
        advanced=True,
    )
    distance: float = _entry(
        150.0,
        "Distance",
        "From the crystal to the detector.",
        **{"low": 1.0, "high": 10_000.0, "step": 5, "decimals": 1},
        unit=" mm",
        advanced=True,
    )
    wavelength: float = _entry(
        0.75,
        "Wavelength",
        "Of the radiation, for the Ewald sphere.",
        **{"low": 0.05, "high": 5.0, "step": 0.05, "decimals": 4},
        unit=" Å",
        advanced=True,
    )
    rotation: float = _entry(
        200.0,
        "Rotation",
        "Range of the scan, about an axis off all lattice directions.",
        **{"low": 1.0, "high": 360.0, "step": 10, "decimals": 1},
        unit=" °",
        advanced=True,
    )
    background: float = _entry(
        0.0,
        "Background",
        "Mean of a smooth background, in units of the mean intensity.",
        high=100.0,
        step=0.05,
        unit=" × mean",
        advanced=True,
    )
    bragg: float = _entry(
        0.0,
        "Bragg remnants",
        "Height of leftover Bragg peaks, in units of the mean intensity.",
        high=1000.0,
        step=1.0,
        unit=" × mean",
        advanced=True,
    )
    radiation: str = _entry(
        "xray",
        "Radiation",
        "What scatters.",
        choices={"xray": "X-rays", "neutron": "neutrons", "electron": "electrons"},
        advanced=True,
    )
    q_max: float = _entry(
        7.0,
        "|Q| to",
        "Half the edge of the plane.",
        low=0.5,
        high=30.0,
        step=0.5,
        unit=" Å⁻¹",
        advanced=True,
    )
    size: int = _entry(
        256,
        "Pixels",
        "Along each edge of the plane that is added; the preview has fewer.",
        low=32,
        high=2048,
        step=64,
        advanced=True,
    )
    seed: int = _entry(
        1,
        "Seed",
        "Of noise and Monte Carlo: the same seed gives the same plane.",
        high=2**31 - 1,
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`dsfunet_core.simulate.planes.simulate_plane`."""
        arguments: dict[str, Any] = {"size": self.size, "q_max": self.q_max}
        if self.radiation != "xray":
            arguments["radiation"] = self.radiation
        return arguments

    def compute(self, size: int | None = None) -> SimulatedPlane:
        """Simulate.

        Parameters
        ----------
        size : int, optional
            Pixels along each edge, for a preview.
        """
        from dsfunet_core.sections import Section
        from dsfunet_core.simulate import Detector, Realism, simulate_plane
        from dsfunet_core.simulate.experiment import experiment

        section = Section.parse(self.plane)
        arguments = self.as_core_arguments()
        if size is not None:
            arguments["size"] = size
        made = simulate_plane(self.crystal(), section, **arguments)
        detector = Detector.named(self.detector, **self._geometry()) if self.detector else None
        return experiment(
            made,
            detector=detector,
            rotation=(0.0, self.rotation),
            realism=Realism(**self._realism()),
            seed=self.seed,
            name=self._name(),
        )

    def crystal(self) -> DisorderedCrystal:
        """What scatters."""
        import gemmi

        from dsfunet_core.simulate import DisorderedCrystal, monte_carlo_order
        from dsfunet_core.simulate.order_check import check_order
        from dsfunet_core.simulate.species import mixed_cell, species

        (first, first_part), (second, second_part) = self._named()
        a = species(first, **first_part)
        b = species(second, **second_part)
        share = self.concentration
        if self.cell.strip():
            parameters = _numbers("unit cell", self.cell, (6,))
            if min(parameters) <= 0 or not gemmi.UnitCell(*parameters).volume > 0.1:
                raise ParameterError(
                    f"unit cell {self.cell!r}: edges in Å and angles in degrees of a cell "
                    "with a volume were expected, as in 7.4 9.1 6.8 90 104 90."
                )
            cell = gemmi.UnitCell(*parameters)
        else:
            cell = mixed_cell(a, b, share, self.system)
        if self.order == "monte carlo":
            rng = np.random.default_rng(self.seed)
            drawn = monte_carlo_order(self._targets(), share, samples=_SAMPLES, rng=rng)
            share, alpha = drawn.concentration, drawn.alpha
        else:
            alpha = self._alpha()
            check_order(alpha, share)
        return DisorderedCrystal(a.molecule, b.molecule, cell, share, alpha)

    def script(self) -> tuple[str, ...]:
        """``simulated`` from nothing."""
        (first, first_part), (second, second_part) = self._named()
        share = "m_a"
        lines = [
            "import gemmi",
            "import numpy as np",
            "from dsfunet_core import Section, simulate",
            "from dsfunet_core.simulate.experiment import experiment",
            "from dsfunet_core.simulate.species import mixed_cell, species",
            f"m_a = {self.concentration!r}",
            f"a = species({_arguments(first, first_part)})",
            f"b = species({_arguments(second, second_part)})",
        ]
        if self.cell.strip():
            numbers = _arguments(*_numbers("unit cell", self.cell, (6,)))
            lines.append(f"cell = gemmi.UnitCell({numbers})")
        else:
            lines.append(f"cell = mixed_cell(a, b, m_a, {self.system!r})")
        if self.order == "monte carlo":
            lines += [
                f"rng = np.random.default_rng({self.seed})",
                f"order = simulate.monte_carlo_order({self._targets()!r}, m_a, "
                f"samples={_SAMPLES}, rng=rng)",
                "alpha = order.alpha",
            ]
            share = "order.concentration"
        elif self.order == "oscillator":
            numbers = _arguments(self.system, self.amplitude, self.decay, self.frequency)
            lines.append(f"alpha = simulate.damped_oscillator({numbers})")
        else:
            lines.append(f"alpha = simulate.alpha_box({self._neighbours()!r})")
        about = [f"realism=simulate.Realism({_arguments(self._realism())})"]
        about += [f"seed={self.seed}", f"name={self._name()!r}"]
        if self.detector:
            detector = _arguments(self.detector, self._geometry())
            about.insert(0, f"rotation=(0.0, {self.rotation!r})")
            about.insert(0, f"detector=simulate.Detector.named({detector})")
        plane = _arguments(self.as_core_arguments())
        return (
            *lines,
            f"crystal = simulate.DisorderedCrystal(a.molecule, b.molecule, cell, {share}, "
            "alpha)",
            f"made = simulate.simulate_plane(crystal, Section.parse({self.plane!r}), {plane})",
            f"simulated = experiment(made, {', '.join(about)})",
        )

    def words(self) -> str:
        """The order, for the metadata of layers."""
        if self.order == "oscillator":
            return (
                f"α = {self.amplitude:g} exp(−{self.decay:g} x) cos({self.frequency:g} x) in "
                f"the x-th {self.system} shell"
            )
        if self.order == "none":
            return "none"
        values = zip("abc", self._targets(), strict=True)
        return ", ".join(f"α along {axis} = {value:g}" for axis, value in values)

    def _named(self) -> tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]:
        """Name of each molecule and the options with which it is read."""
        first, second = self.mol_a.strip(), self.mol_b.strip()
        parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        if first == second and first.lower().endswith(".cif"):
            from dsfunet_core.simulate.structures import disorder_groups

            groups = disorder_groups(first)
            for part, group in zip(parts, groups[:2], strict=False):
                part["disorder_group"] = group
        if self.turn:
            parts[1]["turn"] = self.turn
        if first == second and not parts[1]:
            raise ParameterError(
                f"A and B are both {first!r}: nothing is disordered. Choose another molecule "
                "for one of them, or turn B."
            )
        return (first, parts[0]), (second, parts[1])

    def _name(self) -> str:
        from dsfunet_core.sections import Section

        return f"{Section.parse(self.plane).name} simulated"

    def _targets(self) -> tuple[float, float, float]:
        return (self.alpha_a, self.alpha_b, self.alpha_c)

    def _neighbours(self) -> dict[tuple[int, int, int], float]:
        if self.order == "none":
            return {}
        vectors = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        return {v: x for v, x in zip(vectors, self._targets(), strict=True) if x}

    def _alpha(self) -> Any:
        from dsfunet_core.simulate import alpha_box, damped_oscillator
        from dsfunet_core.simulate.sro import SHELL_SYSTEMS

        if self.order != "oscillator":
            return alpha_box(self._neighbours())
        if self.system not in SHELL_SYSTEMS:
            raise ParameterError(
                f"an {self.system} lattice has no shells of equivalent neighbours for the "
                "damped oscillator: choose a tetragonal, hexagonal or cubic lattice, or "
                "another kind of order."
            )
        return damped_oscillator(self.system, self.amplitude, self.decay, self.frequency)

    def _geometry(self) -> dict[str, Any]:
        return {"distance": self.distance, "wavelength": self.wavelength, **_MOUNTED}

    def _realism(self) -> dict[str, float]:
        names = ("debye_waller", "background", "bragg", "counts")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def _arguments(*values: Any) -> str:
    """Arguments of a call, as Python; those of a dict last, by name."""
    texts = []
    for value in values:
        if isinstance(value, dict):
            texts += [f"{name}={x!r}" for name, x in value.items()]
        else:
            texts.append(repr(value))
    return ", ".join(texts)
