"""Each wall of docs/ARCHITECTURE.md falls loudly: the crossing is planted in a copy, and its check must fail."""

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from scripts.isolation import ENVIRONMENTS, Alone, probe
from scripts.walls import ROOT, crossings

BIN = Path(sys.executable).parent
MEMBERS = ("shared", "auth_server", "resource_a", "resource_b", "testing")


@pytest.fixture
def copy(tmp_path) -> Path:
    """The members and the tools' settings, without the environment."""
    for member in MEMBERS:
        shutil.copytree(ROOT / member, tmp_path / member, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(path: Path, text: str) -> None:
    path.write_text(path.read_text() + f"\n{text}\n")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(str(cwd / member / "src") for member in MEMBERS),
        "NO_COLOR": "1",
        "COLUMNS": "300",
    }
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.mark.parametrize(
    ("module", "crossing", "contract"),
    [
        ("shared/src/farseal/encoding.py", "import farseal.verify", "built in floors"),
        ("shared/src/farseal/service/logs.py", "import farseal.verify", "knows nothing of verification"),
        ("shared/src/farseal/web/__init__.py", "import structlog", "does not need the service kit"),
        ("auth_server/src/auth_server/app.py", "import farseal.jwks", "issues and does not verify"),
        ("resource_a/src/resource_a/app.py", "import resource_b", "independent of each other"),
        ("resource_b/src/resource_b/app.py", "import auth_server", "independent of each other"),
        ("shared/src/farseal/web/__init__.py", "import auth_server", "imports no service"),
        ("shared/src/farseal/claims.py", "import time", "pure modules"),
        ("auth_server/src/auth_server/grants/rules.py", "import asyncpg", "pure modules"),
        ("resource_a/src/resource_a/app.py", "import jwt", "no cryptography of their own"),
        ("resource_b/src/resource_b/app.py", "import asyncpg", "has no database"),
        ("resource_a/src/resource_a/app.py", "import farseal_testing", "is in nothing that serves"),
        ("testing/src/farseal_testing/issuer.py", "import auth_server", "knows the library and no service"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value),
)
def test_an_import_through_a_wall_breaks_its_contract(copy, module, crossing, contract) -> None:
    plant(copy / module, crossing)
    done = run(str(BIN / "lint-imports"), "--no-cache", cwd=copy)
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert re.search(rf"{re.escape(contract)}[^.]*? BROKEN", said), done.stdout


def test_the_tree_as_it_is_keeps_every_contract(copy) -> None:
    """The control: without a planted import the same copy passes."""
    done = run(str(BIN / "lint-imports"), "--no-cache", cwd=copy)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "crossing"),
    [
        ("shared/src/farseal/jwks.py", "from cryptography.hazmat.primitives.serialization import load_pem_private_key"),
        ("shared/src/farseal/jwks.py", "def f(rsa): return rsa.generate_private_key(65537, 2048)"),
        ("resource_a/src/resource_a/app.py", "def f(key): return key.sign(b'')"),
        ("resource_b/src/resource_b/app.py", "from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey"),
        ("auth_server/src/auth_server/tokens/issuer.py", "def f(key): return key.sign(b'')"),
        ("auth_server/src/auth_server/app.py", "def f(jwt): return jwt.encode({}, '')"),
        ("shared/src/farseal/jwks.py", "from jwt.api_jws import PyJWS"),
        ("auth_server/src/auth_server/app.py", "def f(PyJWS): return PyJWS().encode(b'', 'key', 'RS256')"),
    ],
    ids=["load", "generate", "sign", "type", "second-signer", "pyjwt", "pyjws-in-the-library", "second-pyjws"],
)
def test_a_private_key_outside_its_home_is_found(copy, module, crossing) -> None:
    assert not list(crossings(copy))
    plant(copy / module, crossing)
    found = list(crossings(copy))
    assert found
    assert all(place.startswith(f"{module}:") for place in found)


@pytest.mark.parametrize(
    ("module", "crossing"),
    [
        ("cli/token.py", "def f(key): return key.verify(b'', b'')"),
        ("cli/token.py", "def f(jwk): return jwk.public_key().verify"),
        ("keys/signer.py", "def f(self): return self._jws.verify(b'')"),
        ("cli/token.py", "from cryptography.exceptions import InvalidSignature"),
        ("app.py", "def f(key): return key.recover_data_from_signature(b'')"),
        ("tokens/issuer.py", "def f(key): return key.verify(b'', b'')"),
    ],
    ids=["called", "handed-on", "by-the-signer", "its-error", "recovered", "beside-the-one-that-may"],
)
def test_a_signature_that_the_auth_server_checks_is_found(copy, module, crossing) -> None:
    """It issues and does not verify; that it reads its own tokens back in one place, and that passwords are verified by
    argon2, is no crossing."""
    path = f"auth_server/src/auth_server/{module}"
    plant(copy / path, crossing)
    (found,) = crossings(copy)
    assert found.startswith(f"{path}:")
    assert "does not verify" in found


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import time\n\nx = time.time()\n", "TID251"),
        ("from datetime import UTC, datetime\n\nx = datetime.now(UTC)\n", "TID251"),
        ("import jwt\n\nx = jwt.encode({}, '')\n", "TID251"),
        ("import jwt\n\nx = jwt.decode('', '')\n", "TID251"),
        ("from jwt.api_jws import PyJWS\n\nx = PyJWS().encode(b'', '')\n", "TID251"),
        ("def f(x):\n    return x\n", "ANN"),
    ],
    ids=["time", "datetime", "jwt-encode", "jwt-decode", "pyjws", "untyped"],
)
def test_lint_finds_what_has_one_home(code, rule) -> None:
    done = subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--stdin-filename", "auth_server/src/auth_server/planted.py", "-"],
        input=code,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert rule in done.stdout


def test_types_are_strict(tmp_path) -> None:
    """mypy runs strictly with the project's settings: an untyped call through the library's own types fails."""
    planted = tmp_path / "planted.py"
    planted.write_text("from farseal.encoding import b64url_decode\n\nx: int = b64url_decode('AA')\n")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(tmp_path),
    ]
    done = subprocess.run([*command, planted], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert 'expression has type "bytes"' in done.stdout


@pytest.mark.parametrize("member", MEMBERS)
def test_an_undeclared_dependency_is_found(copy, member) -> None:
    """A package that is only there because another member needs it would be missing in this member's image."""
    package = next((copy / member / "src").iterdir())
    (package / "planted.py").write_text("import hypothesis\n")
    done = run(str(BIN / "deptry"), "src", cwd=copy / member)
    assert done.returncode == 1
    assert "hypothesis" in done.stderr + done.stdout


@pytest.mark.parametrize("folder", ["demo", "tests", "scripts", "benchmarks"])
def test_a_tool_that_is_only_there_by_chance_is_found(tmp_path, folder) -> None:
    """What a test imports must be declared: a fresh clone installs nothing else."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "planted.py").write_text("import referencing\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = run(str(BIN / "deptry"), folder, cwd=tmp_path)
    assert done.returncode == 1
    assert "referencing" in done.stderr + done.stdout


def test_a_foreign_module_in_an_environment_is_found(tmp_path) -> None:
    """The probe looks from outside the environment: it sees a module of another service wherever it came from."""
    venv.create(tmp_path / "environment", with_pip=False)
    python = tmp_path / "environment" / "bin" / "python"
    packages = next((tmp_path / "environment" / "lib").glob("python*/site-packages"))
    alone = Alone("", (), ENVIRONMENTS["resource_a"].absent, ("json",))
    assert probe(python, alone) == ""
    (packages / "auth_server").mkdir()
    (packages / "auth_server" / "__init__.py").touch()
    assert probe(python, alone) == "auth_server is there and must not be"


def test_a_missing_module_in_an_environment_is_found(tmp_path) -> None:
    venv.create(tmp_path / "environment", with_pip=False)
    wrong = probe(tmp_path / "environment" / "bin" / "python", Alone("", (), ("resource_b",), ("resource_a.app",)))
    assert "resource_a.app does not import" in wrong
