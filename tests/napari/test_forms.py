"""Forms without Qt: defaults, arguments for the core, scripts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, factorize, refine_sro
from napari_dsfunet.forms import FactorizeForm, Form, SliceForm, from_stored
from napari_dsfunet.forms_order import SroFitForm

FORMS = [SliceForm, FactorizeForm, SroFitForm]


@pytest.mark.parametrize("kind", FORMS)
def test_every_field_says_what_it_is(kind: type[Form]) -> None:
    for field in fields(kind):
        assert field.metadata["label"]
        assert len(field.metadata["tip"]) > 10


def test_defaults_are_the_cores() -> None:
    assert SliceForm().as_core_arguments() == {"grid": "native", "thickness": 0.0}
    assert FactorizeForm().as_core_arguments() == {
        "method": "lattice",
        **{name: factorize.__kwdefaults__[name] for name in ("support", "background")},
        **{
            name: factorize.__kwdefaults__[name]
            for name in ("robust", "order", "refine_lattice")
        },
    }
    arguments = SroFitForm().as_core_arguments()
    assert arguments == {name: refine_sro.__kwdefaults__[name] for name in arguments}


def test_slice_form_cuts(triclinic: ReciprocalVolume) -> None:
    plane = SliceForm(plane=" hk0 ").compute(triclinic)
    assert plane.shape == (12, 10)
    square = SliceForm(plane="hk0", grid="cartesian", size=32).compute(triclinic)
    assert square.shape == (32, 32)


@pytest.mark.parametrize(
    "form", [SliceForm(plane="0kl"), SliceForm(plane="hk0", grid="cartesian", size=20)]
)
def test_slice_script_does_what_the_form_does(
    form: SliceForm, triclinic: ReciprocalVolume
) -> None:
    names = {"volume": triclinic}
    exec("\n".join(form.script()), names)
    plane, expected = names["plane"], form.compute(triclinic)
    assert isinstance(plane, ReciprocalPlane)
    assert plane.name == expected.name
    assert plane.shape == expected.shape


def test_factorize_script_masks_when_the_form_does() -> None:
    assert len(FactorizeForm(device="cpu").script()) == 1
    first, second = FactorizeForm(bragg_radius=0.1, support=12.5, device="cpu").script()
    assert first == "plane = dsfunet_core.mask_bragg(plane, 0.1)"
    assert "support=12.5" in second


def test_only_what_the_method_heeds_is_passed_on() -> None:
    form = FactorizeForm(method="network", model="mine", support=5.0, device="cuda:1")
    assert form.as_core_arguments() == {
        "method": "network",
        "weights": "mine",
        "device": "cuda:1",
    }


def test_the_quickest_device_is_asked_for_where_the_script_runs() -> None:
    script = "\n".join(FactorizeForm().script())
    assert "device=devices.best()" in script


def test_stored_values_that_no_longer_fit_are_left_out() -> None:
    stored = {"plane": "h0l", "thickness": "wide", "gone": 3}
    assert from_stored(SliceForm, stored) == SliceForm(plane="h0l")


def test_heavy_modules_are_not_imported_with_the_plugin() -> None:
    code = (
        "import sys, napari_dsfunet.reader, napari_dsfunet.sample_data, napari_dsfunet.forms\n"
        "print([m for m in ('torch', 'h5py', 'matplotlib', 'qtpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
