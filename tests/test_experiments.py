"""The stored experiments: each is what its code gives, and any executor runs them."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from rmsprop_ref.course import experiments
from rmsprop_ref.course.experiments import MODULES, Experiment, experiment, stored, worst_difference

NAMES = sorted(MODULES)


def halved(x, seed):
    return {"half": x / 2, "seed": seed}


TOY = Experiment(halved, [{"x": x, "seed": 1} for x in (3.0, 1.0, 2.0)], within=0.0, sample=(0,))
EXPECTED = [(job, {"half": job["x"] / 2, "seed": 1}) for job in TOY.jobs]


@pytest.mark.parametrize("name", NAMES)
def test_stored_jobs_are_those_of_the_experiment(name):
    assert [job for job, _ in stored(name)] == experiment(name).jobs


@pytest.mark.parametrize(
    ("name", "i"), [(name, i) for name in NAMES for i in experiment(name).sample]
)
def test_a_sample_computed_anew(name, i):
    what = experiment(name)
    job, result = stored(name)[i]
    assert worst_difference(what.run(**job), result) <= what.within


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_has_a_sample_and_a_small_file(name):
    what = experiment(name)
    assert what.sample
    assert 0 <= what.within < 0.1
    assert (experiments.DATA / f"{name}.json").stat().st_size < 400_000


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(experiments, "experiment", {"toy": TOY}.__getitem__)


def test_threads_and_processes(toy):
    with ThreadPoolExecutor(2) as pool:
        assert experiments.compute("toy", pool) == EXPECTED
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert experiments.compute("toy", pool) == EXPECTED


@pytest.mark.filterwarnings("default")
def test_a_dask_cluster(toy):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        assert experiments.compute("toy", client.get_executor()) == EXPECTED


def test_written_and_read(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match="make experiments EXPERIMENTS=toy"):
        stored("toy")
    experiments.write("toy", EXPECTED, 1.5)
    assert stored("toy") == EXPECTED


def test_differences():
    assert worst_difference({"a": [1.0, 2.0]}, {"a": [1.0, 2.2]}) == pytest.approx(0.2 / 2.2)
    assert worst_difference({"a": float("nan"), "b": 0.0}, {"a": float("nan"), "b": 0.0}) == 0
    assert worst_difference({"a": 1.0}, {"b": 1.0}) == float("inf")
    assert worst_difference({"a": [1.0]}, {"a": [1.0, 2.0]}) == float("inf")


def test_an_unknown_name():
    with pytest.raises(KeyError, match="no experiment 'digit'"):
        experiment("digit")
    call = [sys.executable, "-m", "rmsprop_ref.course.experiments", "digit"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no experiment 'digit'" in done.stderr
