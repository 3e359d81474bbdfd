"""What the package must never do with what it reads: run it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_assets_tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "ae_assets"
UNPICKLING = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
RUNNING = {"eval", "exec", "compile", "__import__"}


def offences(tree: ast.AST) -> Iterator[str]:
    """What in a module could run code that it reads, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: import {name}" for name in named if name.partition(".")[0] in UNPICKLING)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in RUNNING or called in {"yaml.load", "yaml.unsafe_load", "os.system", "read_pickle"}:
            yield f"{node.lineno}: {called}"
        if called == "np.load" and options.get("allow_pickle") != "False":
            yield f"{node.lineno}: np.load without allow_pickle=False"
        if called.endswith("saving.load_model") and options.get("safe_mode") != "True":
            yield f"{node.lineno}: a Keras file without safe mode"
        if options.get("shell") == "True":
            yield f"{node.lineno}: a shell"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_run_what_it_reads(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "np.load(file)",
        "keras.saving.load_model(path, safe_mode=False)",
        "eval(text)",
        "subprocess.run(command, shell=True)",
        "yaml.load(text)",
    ],
)
def test_what_runs_what_it_reads_is_noticed(code: str) -> None:
    assert len(list(offences(ast.parse(code)))) == 1


def test_a_network_file_that_holds_code_is_refused(tmp_path: Path) -> None:
    from ae_assets.detectors.backend import keras, load_weights
    from ae_assets.errors import ModelError

    ran = tmp_path / "ran"

    def leave_a_trace(batch: object, where: str = str(ran)) -> object:
        Path(where).touch()
        return batch

    values = keras.Input((2,))
    hostile = keras.Model(values, keras.layers.Lambda(leave_a_trace)(values))
    hostile.save(tmp_path / "model.keras")
    ran.unlink()
    with pytest.raises(ModelError, match="safe mode"):
        load_weights(tmp_path / "model.keras", into=hostile)
    assert not ran.exists()
