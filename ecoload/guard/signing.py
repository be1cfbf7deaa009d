"""SSH signatures: made by `ssh-keygen -Y sign`, held against a file of allowed signers.

Rules
-----
- The key is the approver's own: a private key, or a public one whose private half an agent holds. It is
  named by `--key`, else by ECOLOAD_APPROVER_KEY, else by git's `user.signingkey`.
- Who may sign stands outside of what is approved: in a file that lies in neither the workspace nor its
  work tree, or in a commit of another ref than the one that is checked out. ECOLOAD_ALLOWED_SIGNERS names it.
- The file is read once; what ssh-keygen is given is what was read.
- Signatures carry the namespace `ecoload-approval`: one made for anything else never fits.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecoload.errors import GuardRefused, ToolMissing, UsageError
from ecoload.guard import git

NAMESPACE = "ecoload-approval"
SIGNERS_VARIABLE = "ECOLOAD_ALLOWED_SIGNERS"
KEY_VARIABLE = "ECOLOAD_APPROVER_KEY"
NO_SIGNERS = f"no signers are named, so no signature can be checked: set {SIGNERS_VARIABLE}"
_REFS = ("refs/heads/", "refs/tags/", "refs/remotes/")
_LITERAL_KEYS = ("key::", "ssh-", "ecdsa-", "sk-")


@dataclass(frozen=True, slots=True)
class Signers:
    """A file of allowed signers as it was read. `source` is where; empty: none is named. `ref` is the full
    name of the git ref that it was read from."""

    source: str
    content: bytes
    ref: str | None = None

    def refusal(self, name: str, message: bytes, signature: str) -> str:
        """Why a signature is not `name`'s of this message; empty: it is. Raises ToolMissing."""
        if not self.source:
            return NO_SIGNERS
        if not _is_identity(name):
            return "no signer can have that name"
        with tempfile.TemporaryDirectory(prefix="ecoload-") as folder:
            signers, signed = Path(folder) / "signers", Path(folder) / "signature"
            signers.write_bytes(self.content)
            signed.write_text(signature)
            if _fits(message, "verify", "-f", str(signers), "-I", name, "-s", str(signed)):
                return ""
            if _fits(message, "check-novalidate", "-s", str(signed)):
                return f"{self.source} does not know its key as {name}'s"
        return "its signature does not fit what it says"


def read_signers(environ: Mapping[str, str], workspace: Path, *, anywhere: bool = False) -> Signers:
    """The allowed signers that the environment names: a path, or `git:REF:PATH` of the workspace's
    repository. `anywhere`: nothing is run here, so a path may lie here too.

    Raises GuardRefused where what is approved could change them, UsageError where they are not there.
    """
    named = environ.get(SIGNERS_VARIABLE, "")
    if not named:
        return Signers("", b"")
    if named.startswith("git:"):
        return _from_git(named, workspace)
    path = Path(named).expanduser().absolute()
    if not anywhere:
        refuse_inside(path, workspace, SIGNERS_VARIABLE)
    try:
        return Signers(str(path), path.read_bytes())
    except OSError as error:
        raise UsageError(f"{SIGNERS_VARIABLE}={named}: {error.strerror}") from None


def refuse_inside(path: Path, workspace: Path, variable: str) -> None:
    """Raises GuardRefused where a path lies in the workspace or in its work tree, as it is written or
    where its links lead."""
    places = [workspace, *filter(None, [git.work_tree(workspace)])]
    for place in places:
        for folder in (place.absolute(), place.resolve()):
            if path.is_relative_to(folder) or path.resolve().is_relative_to(folder):
                raise GuardRefused(
                    f"{variable}: {path} lies in {folder}, so the change that is approved could change it; "
                    "keep it elsewhere, or in a git branch of its own"
                )


def signing_key(given: Path | None, environ: Mapping[str, str], folder: Path) -> str:
    """The path of the approver's key, or the public key itself where git is told one. Raises UsageError."""
    named = str(given) if given is not None else environ.get(KEY_VARIABLE, "")
    if named:
        path = Path(named).expanduser().absolute()
        if not path.is_file():
            raise UsageError(f"there is no key at {path}")
        return str(path)
    found = _git_key(folder)
    if found is None:
        raise UsageError(
            f"no key to sign with: give --key PATH, or set {KEY_VARIABLE} or git's user.signingkey "
            "(an SSH key, or the .pub of one that an agent holds)"
        )
    return found


def sign(message: bytes, key: str) -> str:
    """The signature of a message. May ask for a passphrase on the terminal.

    Raises UsageError where the key does not sign, ToolMissing.
    """
    with tempfile.TemporaryDirectory(prefix="ecoload-") as folder:
        if key.startswith(_LITERAL_KEYS):
            path = Path(folder) / "key.pub"
            path.write_text(key.removeprefix("key::") + "\n")
            key = str(path)
        done = _ssh_keygen(message, "sign", "-f", key)
    if done.returncode != 0 or not done.stdout:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        raise UsageError(f"the key does not sign: {reason or f'ssh-keygen ended with {done.returncode}'}")
    return done.stdout.decode()


def _git_key(folder: Path) -> str | None:
    try:
        key = git.read_line(folder, "config", "--get", "--type=path", "user.signingkey")
        form = git.read_line(folder, "config", "--get", "gpg.format")
    except ToolMissing:
        return None
    if key is None or key.startswith(_LITERAL_KEYS):
        return key
    if not Path(key).is_file():
        kind = "" if form == "ssh" else " (gpg.format is not ssh)"
        raise UsageError(f"git's user.signingkey is no file{kind}: give --key PATH, or set {KEY_VARIABLE}")
    return str(Path(key).absolute())


def _from_git(named: str, workspace: Path) -> Signers:
    name, _, path = named.removeprefix("git:").partition(":")
    if not path or path.startswith(("/", "./", "../")):
        raise UsageError(f"{SIGNERS_VARIABLE}={named}: expected git:REF:PATH, the path from the top on")
    if git.work_tree(workspace) is None:
        raise UsageError(f"{SIGNERS_VARIABLE}={named}: {workspace.absolute()} lies in no git work tree")
    ref = _full_ref(workspace, name)
    if ref == git.branch_checked_out(workspace):
        raise GuardRefused(
            f"{SIGNERS_VARIABLE}={named}: {name} is checked out, so the change that is approved could change "
            "it; name a branch that only reviewed changes reach, as its remote has it (origin/main)"
        )
    content = git.read(workspace, "cat-file", "blob", f"{ref}:{path}")
    if content is None:
        raise UsageError(f"{SIGNERS_VARIABLE}={named}: {ref} has no file {path}")
    return Signers(f"{ref}:{path}", content, ref)


def _full_ref(workspace: Path, name: str) -> str:
    """The one branch, tag or remote branch of that name, links followed."""
    refs = [name] if name.startswith(_REFS) else [place + name for place in _REFS]
    found = []
    if git.is_ref_name(name) and name.rpartition("/")[2] != "HEAD":
        found = [ref for ref in refs if git.read_line(workspace, "show-ref", "--verify", "--hash", ref)]
    if len(found) > 1:
        raise UsageError(f"{SIGNERS_VARIABLE}: {name} is {' and '.join(found)}; name one of them in full")
    if not found:
        raise GuardRefused(
            f"{SIGNERS_VARIABLE}: {name!r} is no branch or tag here (was it fetched?). HEAD, @, commits and "
            "expressions are refused: they are what is checked out, or what anybody may choose"
        )
    return git.read_line(workspace, "symbolic-ref", "--quiet", found[0]) or found[0]


def _is_identity(name: str) -> bool:
    return bool(name) and not name.startswith("-") and name.isprintable()


def _fits(message: bytes, *arguments: str) -> bool:
    return _ssh_keygen(message, *arguments).returncode == 0


def _ssh_keygen(message: bytes, action: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", action, *arguments, "-n", NAMESPACE]
    try:
        done = subprocess.run(command, input=message, capture_output=True, check=False)
    except FileNotFoundError:
        raise ToolMissing(
            "ssh-keygen is not here, and it signs and checks approvals: install OpenSSH 8.2 or later"
        ) from None
    if b"unknown option" in done.stderr or b"llegal option" in done.stderr:
        raise ToolMissing("this ssh-keygen knows no signatures (-Y): install OpenSSH 8.2 or later")
    return done
