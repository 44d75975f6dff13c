"""Layers of a simulated plane and its truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dsfunet.layers import KEY, factorization_layers, plane_layer

if TYPE_CHECKING:
    from napari.types import LayerData

    from dsfunet_core.simulate.planes import SimulatedPlane

__all__ = ["simulated_layers"]


def simulated_layers(
    simulated: SimulatedPlane, script: tuple[str, ...], *, order: str = ""
) -> list[LayerData]:
    """True short-range order and form factor, hidden, and the plane on top.

    Parameters
    ----------
    simulated : SimulatedPlane
        With its truth.
    script : tuple of str
        Python that makes ``simulated``.
    order : str
        The true order in words, for the layers' metadata.

    Returns
    -------
    list of tuple
        Data, options, "image".
    """
    from dsfunet_core.simulate.experiment import true_factors

    truth = (
        *script,
        "from dsfunet_core.simulate.experiment import true_factors",
        "result = true_factors(simulated)",
    )
    name = simulated.plane.name
    form_factor, sro, *_ = factorization_layers(true_factors(simulated), truth)
    plane = plane_layer(simulated.plane, (*script, "plane = simulated.plane"))
    for role, (_, options, _) in (("form factor", form_factor), ("SRO", sro)):
        options |= {"name": f"{name} true {role}", "visible": False}
    for _, options, _ in (form_factor, sro, plane):
        options["metadata"][KEY]["truth"] = {
            "order": order,
            "concentration": simulated.crystal.concentration,
            "molecules": [simulated.crystal.mol_a.name, simulated.crystal.mol_b.name],
            "coefficients": simulated.coefficients,
        }
    return [sro, form_factor, plane]
