"""The walls that imports do not show: who may touch a private key, and who may check a signature.

    python -m scripts.walls [ROOT]

Prints each crossing as FILE:LINE and exits 1 if there is one.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

CUSTODY = "auth_server/src/auth_server/keys/custody.py"
"""The one module that signs."""

SIGNER = "auth_server/src/auth_server/keys/signer.py"
"""The one module that asks it to: a key in custody, and nothing of a library."""

PASSWORDS = "auth_server/src/auth_server/accounts/passwords.py"
"""The one module of the auth server with something to verify: passwords, by argon2. It checks no signature."""

OWN = "auth_server/src/auth_server/tokens/own.py"
"""The one module that tells what the auth server's own keys have signed, tokens and status lists."""

VERIFYING = ("shared/src", "resource_a/src", "resource_b/src")
"""Code in which no private key may appear, by any name."""

PRIVATE = frozenset(
    {
        "generate_private_key", "load_pem_private_key", "load_der_private_key", "load_ssh_private_key",
        "derive_private_key", "from_private_bytes", "private_numbers", "private_bytes", "RSAPrivateKey",
        "RSAPrivateNumbers", "sign", "PyJWS", "PyJWT", "api_jws", "api_jwt",
    }
)  # fmt: skip

CHECKING = frozenset({"InvalidSignature", "InvalidSignatureError", "recover_data_from_signature"})
"""What is named only where a signature is checked, by cryptography or by PyJWT."""

ISSUES = "the auth server issues and does not verify, but for its own tokens"


def crossings(root: Path) -> Iterator[str]:
    """Every place where a wall is crossed, as ``path:line: what``."""
    for folder in VERIFYING:
        for path in sorted((root / folder).rglob("*.py")):
            yield from _private_keys(path, root)
            yield from _signatures(path, root)
    for path in sorted((root / "auth_server/src").rglob("*.py")):
        if path.relative_to(root).as_posix() != CUSTODY:
            yield from _signatures(path, root)
        if path.relative_to(root).as_posix() not in (PASSWORDS, OWN):
            yield from _verdicts(path, root)


def _private_keys(path: Path, root: Path) -> Iterator[str]:
    for line, name in _names(path):
        if name in PRIVATE:
            yield f"{path.relative_to(root)}:{line}: {name}: no private key and no signature where tokens are verified"


def _signatures(path: Path, root: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        asks_the_signer = owner.rpartition(".")[2].endswith("signer")
        asks_custody = owner == "key" and path.relative_to(root).as_posix() == SIGNER
        if (node.func.attr == "sign" and not asks_the_signer and not asks_custody) or (
            node.func.attr == "encode" and re.search(r"\b(jwt|jws|PyJWS|PyJWT)\b", owner)
        ):
            yield f"{path.relative_to(root)}:{node.lineno}: only {CUSTODY} signs"


def _verdicts(path: Path, root: Path) -> Iterator[str]:
    """Where a signature is checked: a key's ``verify``, by whatever name the key goes, or what tells that it failed.

    To ask a ``hasher`` about a password is neither.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "verify":
            asks_the_hasher = ast.unparse(node.value).rpartition(".")[2].endswith("hasher")
            if not asks_the_hasher:
                yield f"{path.relative_to(root)}:{node.lineno}: verify: {ISSUES}"
    for line, name in _names(path):
        if name in CHECKING:
            yield f"{path.relative_to(root)}:{line}: {name}: {ISSUES}"


def _names(path: Path) -> Iterator[tuple[int, str]]:
    """Each name that is imported, read or called, by its last part."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.rpartition(".")[2]


def main() -> int:
    """Check the tree that is named, or this one."""
    found = list(crossings(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
    print(
        "\n".join(found)
        if found
        else "walls: one module signs, private keys stay in the auth server, which verifies nothing but its own tokens"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
