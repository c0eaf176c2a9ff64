"""What a study takes with it to a cluster: its file, resolved, and the user's own code it names."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tune_diffreg.errors import InputError
from tune_diffreg.files import write_atomically
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.study import Study

STUDY_FILE = "study.yaml"


@contextmanager
def shipped(study: Study | None, code: Sequence[Path]) -> Iterator[Path]:
    """A folder for a while with all that is shipped, and nothing else."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if study is not None:
            write_atomically(folder / STUDY_FILE, to_yaml(study.model_dump(mode="json")))
        for path in code:
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(path, folder / path.name, ignore=ignored)
            else:
                shutil.copy(path, folder)
        yield folder


def own_code(study: Study, folders: Sequence[Path]) -> list[Path]:
    """The modules and packages in `folders` that the study's factories need.

    What they import from the same folders goes with them. A factory that lies in none of the
    folders must be installed on the cluster.
    """
    found: dict[str, Path] = {}
    waiting = [factory.split(":")[0].split(".")[0] for factory in _factories(study)]
    while waiting:
        name = waiting.pop()
        path = None if name in found else _in(folders, name)
        if path is not None:
            found[name] = path
            files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
            waiting += [imported for file in files for imported in _imported(file)]
    return list(found.values())


def named_code(names: Sequence[str], folder: Path) -> list[Path]:
    """The files and folders of those names in `folder`.

    Raises:
        InputError: one is not there.
    """
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise InputError(
            f"the study needs {', '.join(missing)}, which is not in {folder}; give the command "
            "where it lies, or submit the study file again"
        )
    return [folder / name for name in names]


def require_paths_of_cluster(study: Study) -> None:
    """Raises InputError where a setting names a file by where it is from here."""
    paths = {
        "data.path": study.data.path,
        "data.cache": study.data.cache,
        "evaluation.weights": study.evaluation.weights,
        "search.warm_start": study.search.warm_start,
        "tracking.uri": study.tracking.uri,
    }
    for key, path in paths.items():
        if path is not None and "://" not in path and not Path(path).is_absolute():
            raise InputError(
                f"{key}: {path!r} says nothing on a cluster; give the absolute path that its "
                "machines see"
            )


def _factories(study: Study) -> list[str]:
    features = study.evaluation.features
    named = [study.model.factory, None if isinstance(features, str) else features.factory]
    return [factory for factory in named if factory is not None]


def _in(folders: Sequence[Path], name: str) -> Path | None:
    for folder in folders:
        for path in (folder / name, folder / f"{name}.py"):
            if path.is_file() or (path / "__init__.py").is_file():
                return path
    return None


def _imported(file: Path) -> Iterator[str]:
    """Names of the modules at the top that a file imports.

    Raises:
        InputError: it is not Python.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{file}: is not valid Python: {error}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
