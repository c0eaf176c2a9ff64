"""No code is run by reading: what the package calls to read files, held to a list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "tune_diffreg"

# What runs, or may run, what it reads; or reads without bounds; or hands a text to a shell.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads",
    "dill.load", "dill.loads", "joblib.load", "marshal.load", "marshal.loads", "shelve.open",
    "pandas.read_pickle", "pd.read_pickle", "numpy.load", "np.load", "np.loadtxt", "np.fromfile",
    "yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all",
    "torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "tarfile.open", "shutil.unpack_archive", "decode_image", "decode_png", "decode_gif",
    "importlib.import_module", "runpy.run_path", "runpy.run_module",
    "CIFAR10", "FeatureExtractorInceptionV3", "FeatureExtractorCLIP",
}  # fmt: skip

# Where one of these is called all the same: file, call, and why that is no way in.
ALLOWED = {
    ("search/checkpoint.py", "torch.load"): "weights_only, behind a checksum",
    ("evaluation/pretrained.py", "torch.load"): "weights_only, of a file whose SHA-256 is known",
    ("evaluation/pretrained.py", "torch.hub.load"): "code that the user put into torch hub's cache",
    ("evaluation/pretrained.py", "FeatureExtractorInceptionV3"): "a file whose SHA-256 is known",
    ("evaluation/pretrained.py", "FeatureExtractorCLIP"): "a file whose SHA-256 is known",
    ("factory.py", "importlib.import_module"): "a function that the study file names",
    ("data/cifar10.py", "CIFAR10"): "pickles whose MD5 torchvision knows and checks",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str | None, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 100
    return found


def test_nothing_is_called_that_runs_what_it_reads() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in modules()
        for name, _ in calls(path)
        if name in FORBIDDEN
    }
    assert found == ALLOWED.keys()


@pytest.mark.parametrize("name", ["torch.load"])
def test_what_is_loaded_is_loaded_as_weights_alone(name: str) -> None:
    told = [keywords(call) for path in modules() for n, call in calls(path) if n == name]
    assert told
    assert all(given.get("weights_only") == "True" for given in told)


def test_weights_of_pipelines_are_safetensors_and_nothing_is_downloaded() -> None:
    told = [
        (path.name, ast.unparse(call.func), keywords(call))
        for path in modules()
        for name, call in calls(path)
        if name.endswith(".from_pretrained") and "Scheduler" not in name
    ]
    assert len(told) == 2
    assert all(given["use_safetensors"] == "True" for *_, given in told)
    assert not any("trust_remote_code" in path.read_text() for path in modules())


def test_no_command_goes_through_a_shell() -> None:
    for path in modules():
        for name, call in calls(path):
            assert "shell" not in keywords(call), path
            assert not name.startswith("os.exec"), path


def test_pickle_itself_is_not_imported() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = {name.name for name in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
            assert not names & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}, path


def test_our_yaml_loader_makes_plain_data_alone() -> None:
    """`yaml.load` is not called; the one loader there is has the safe one as its base."""
    from yaml import SafeLoader

    from tune_diffreg.study import plain

    assert issubclass(plain._Loader, SafeLoader)
    assert plain._Loader.yaml_multi_constructors == SafeLoader.yaml_multi_constructors
    assert plain._Loader.yaml_constructors == SafeLoader.yaml_constructors
