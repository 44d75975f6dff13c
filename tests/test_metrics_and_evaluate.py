"""The paper's measure, and evaluation sets through real files."""

import json

import numpy as np
import pytest
from factorization_planes import known_plane

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.evaluate import EvaluationSet, evaluate_set, read_set, write_set
from dsfunet_core.metrics import mean_squared_error, scaled, summary, unexplained


def test_error_is_blind_to_scale_and_offset_and_sees_the_rest():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 50))
    assert mean_squared_error(3 * truth + 5, truth) == pytest.approx(0, abs=1e-25)
    assert mean_squared_error(-truth, truth) > 0.3
    # Uniform noise against uniform noise: 2·Var(U[−1, 1]) = 2/3.
    noise = mean_squared_error(rng.random((400, 400)), rng.random((400, 400)))
    assert noise == pytest.approx(2 / 3, abs=0.02)


def test_error_over_some_pixels_ignores_the_others():
    rng = np.random.default_rng(1)
    truth = rng.random((20, 20))
    where = rng.random((20, 20)) > 0.3
    wild = np.where(where, truth, 1e6)
    assert mean_squared_error(wild, truth, where) == pytest.approx(0, abs=1e-25)
    assert mean_squared_error(wild, truth) > 0.1
    with pytest.raises(ParameterError, match="shape"):
        mean_squared_error(truth, truth[:5])


def test_scaled_runs_from_minus_one_to_one():
    image = scaled(np.array([3.0, 5.0, 11.0]))
    np.testing.assert_allclose(image, [-1, -0.5, 1])
    np.testing.assert_array_equal(scaled(np.full(4, 7.0)), -1)


def test_summary():
    assert summary(list(range(11))) == {"mean": 5, "median": 5, "p90": 9}


@pytest.fixture(scope="module")
def small_set():
    planes = [known_plane(n=129, seed=seed) for seed in (1, 2)]
    valid = np.ones((2, 129, 129), bool)
    valid[:, 30:36] = False
    return EvaluationSet(
        intensity=np.stack([p.plane.intensity for p in planes]),
        valid=valid,
        form_factor=np.stack([p.form_factor for p in planes]),
        sro=np.stack([p.sro for p in planes]),
        basis=np.stack([p.plane.lattice.basis for p in planes]),
    )


def test_a_set_survives_the_file_and_is_measured(tmp_path, small_set):
    path = tmp_path / "set.npz"
    write_set(path, small_set)
    back = read_set(path)
    np.testing.assert_array_equal(back.valid, small_set.valid)
    np.testing.assert_allclose(back.sro, small_set.sro, rtol=1e-6)
    seen = []
    result = evaluate_set(path, callback=lambda done, n, _: seen.append((done, n)))
    assert seen == [(1, 2), (2, 2)]
    assert result["n"] == 2
    assert result["method"] == "lattice"
    quantities = {"sro", "form_factor", "form_factor_measured"}
    assert set(result["mse"]) == quantities | {f"{q}_sqrt" for q in quantities}
    assert result["mse"]["sro"]["mean"] < 1e-3
    assert result["mse"]["form_factor_measured"]["p90"] < 1e-3
    assert result["mse"]["sro_sqrt"]["median"] > 0
    assert result["seconds_per_plane"] > 0
    json.dumps(result)
    with pytest.raises(ParameterError, match="exists"):
        write_set(path, small_set)


def test_the_truth_is_not_looked_at(small_set):
    lies = EvaluationSet(
        small_set.intensity,
        small_set.valid,
        small_set.form_factor[:, ::-1],
        small_set.sro[:, :, ::-1],
        small_set.basis,
    )
    assert evaluate_set(lies)["mse"]["sro"]["mean"] > 0.02


@pytest.mark.parametrize("missing", ["valid", "sro"])
def test_missing_arrays_are_named(tmp_path, small_set, missing):
    arrays = {k: v for k, v in vars(small_set).items() if k != missing}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FileFormatError, match=missing):
        read_set(tmp_path / "bad.npz")


def test_without_a_lattice_only_a_network_helps(tmp_path, small_set):
    bare = EvaluationSet(
        small_set.intensity, small_set.valid, small_set.form_factor, small_set.sro
    )
    write_set(tmp_path / "bare.npz", bare)
    assert read_set(tmp_path / "bare.npz").basis is None
    with pytest.raises(ParameterError, match='use method = "network"'):
        evaluate_set(tmp_path / "bare.npz")


def test_uniform_noise_is_the_baseline(small_set):
    """The paper's Table 1 has 0.951 and 1.00 for its own planes: about 1."""
    noise = evaluate_set(small_set)["noise"]
    assert 0.4 < noise["sro"] < 1.7
    assert 0.4 < noise["form_factor"] < 1.7


def test_misshapen_singular_and_pickled_sets_are_refused(tmp_path, small_set):
    arrays = dict(vars(small_set))
    np.savez(tmp_path / "a.npz", **{**arrays, "sro": arrays["sro"][:, :5]})
    with pytest.raises(FileFormatError, match="sro has shape"):
        read_set(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**arrays, "basis": np.ones((2, 2, 2))})
    with pytest.raises(FileFormatError, match="singular"):
        read_set(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **{**arrays, "sro": np.array([{}], dtype=object)})
    with pytest.raises(FileFormatError):
        read_set(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"not a zip file")
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_set(tmp_path / "d.npz")
    with pytest.raises(FileFormatError, match="does not exist"):
        read_set(tmp_path / "e.npz")
    with pytest.raises(ParameterError, match="method"):
        evaluate_set(small_set, method="guess")


def test_what_a_product_leaves_unexplained():
    """Nothing of its own multiple, all of a constant, and counting noise hardly counts."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:120, :90]
    product = 2 + np.cos(x / 9) * np.cos(y / 13)
    valid = rng.random(product.shape) > 0.2
    valid[30:60, 20:50] = False
    assert unexplained(3 * product, product, valid) < 1e-12
    assert unexplained(product, np.ones_like(product), valid) == pytest.approx(1)
    other = product + 0.3 * np.cos(x / 5)
    ratio = 0.3**2 / 2 / other[valid].var()
    assert unexplained(other, product, valid) == pytest.approx(ratio, rel=0.2)
    noisy = rng.poisson(5 * product)
    assert unexplained(noisy, product, valid) < 0.2 * unexplained(
        noisy, product, valid, block=1
    )
    # What is masked does not count.
    spoilt = np.where(valid, product, 1e9)
    assert unexplained(spoilt, product, valid) < 1e-12
    assert np.isnan(unexplained(np.ones_like(product), product, valid))
