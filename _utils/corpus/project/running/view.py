"""A private view: the same project folder, with one release's tree where the running one is.

Each process gets it in a mount namespace of its own (mount_namespaces(7)); nobody else sees any of it. The view is
put together in empty folders and bound over the project's folder, whose own entries may be exchanged meanwhile: a
mount sits on a directory, not on its name, so a process keeps the tree that it started with.

This file is also a program, and needs nothing but Python: ``view.py SPECIFICATION PROCESS`` starts one process of a
release, whoever supervises it. It begins with all that it takes to make a view, and ends as the project's user.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import resource
import sys
import typing

#: environment variable that names the deployment which started a program; what supervisord starts does not have it
SESSION = "CORPUS_SESSION"
#: stands where :func:`main` expects the name of a process: words of a one-off process follow
ONE_OFF = "--"

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_GET_NO_NEW_PRIVS = 23, 24, 39
_MS_REC, _MS_BIND, _MS_PRIVATE = 16384, 4096, 1 << 18
_MS_RDONLY, _MS_REMOUNT, _MS_RELATIME = 1, 32, 1 << 21
#: what a mount may not lose when it is made read-only (statvfs(3) and mount(2) have the same numbers for these)
_KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _bind(source: str, target: str, recursive: bool = False) -> None:
    flags = _MS_BIND | (_MS_REC if recursive else 0)
    _check(
        _libc().mount(os.fsencode(source), os.fsencode(target), None, flags, None),
        f"bind {source} on {target}",
    )


def _show(source: str, target: str) -> None:
    """Bind a folder for reading only."""
    _bind(source, target)
    had = os.statvfs(target).f_flag
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | (had & _KEPT) | (_MS_RELATIME if had & os.ST_RELATIME else 0)
    _check(_libc().mount(None, os.fsencode(target), None, flags, None), f"make {target} read-only")


def isolate() -> None:
    """Give this process a mount namespace of its own; without root, also a user namespace that keeps its ids.

    :raises OSError: the kernel does not allow it
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    _check(_libc().unshare(flags), "unshare")
    if uid != 0:
        for path, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{path}", "w") as stream:
                stream.write(line)
    _check(_libc().mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make / private")


def possible() -> bool:
    """Tell whether this process could :func:`isolate` a child."""
    child = os.fork()
    if child == 0:
        try:
            isolate()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def prepare(project_dir: str, view: str, beside: tuple[str, ...] = ()) -> None:
    """Make the empty folders that a view of ``project_dir`` is put together on.

    :param beside: names of folders that are shown beside its own entries
    """
    os.makedirs(view, mode=0o755, exist_ok=True)
    for name in beside:
        os.makedirs(os.path.join(view, name), exist_ok=True)
    for entry in os.scandir(project_dir):
        if entry.is_dir(follow_symlinks=False):
            os.makedirs(os.path.join(view, entry.name), exist_ok=True)


def enter(
    project_dir: str,
    view: str,
    instead: dict[str, str],
    hidden: tuple[str, ...] = (),
    beside: dict[str, str] | None = None,
) -> None:
    """Isolate this process and show it ``project_dir`` with other folders in the place of some of its own.

    :param view: the folders made by :func:`prepare`
    :param instead: ``{entry: folder shown in its place}``, such as ``{"project": "/…/<release>/project"}``
    :param hidden: entries that are not shown at all
    :param beside: ``{name: folder}`` shown beside its own entries, for reading only
    :raises OSError: the kernel does not allow it
    """
    isolate()
    for entry in os.scandir(project_dir):
        target = os.path.join(view, entry.name)
        if entry.is_dir(follow_symlinks=False) and entry.name not in hidden and os.path.isdir(target):
            _bind(instead.get(entry.name, entry.path), target, recursive=True)
    for name, folder in (beside or {}).items():
        _show(folder, os.path.join(view, name))
    _bind(view, project_dir, recursive=True)


def become(user: str | None) -> None:
    """Drop from root to ``user`` for good; nothing when we are not root or no user is given."""
    if not user or os.geteuid() != 0:
        return
    entry = pwd.getpwnam(user)
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _without_new_privileges() -> bool:
    return bool(_libc().prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


def renounce() -> None:
    """Let no program that we become have a capability, whoever its user is (capabilities(7))."""
    for number in range(64):
        if _libc().prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            _check(_libc().prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "give up a capability")


def print_to(log: str, user: str | None) -> None:
    """Send what this process prints to the end of a file, which is opened as ``user``: they could put a link there.

    :raises OSError: it cannot be opened
    """
    entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    if entry:
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    if entry:
        os.seteuid(0)
        os.setegid(0)
    os.dup2(handle, 1)
    os.dup2(handle, 2)


def main(argv: list[str]) -> None:
    """Start a process as its specification (JSON) says: view, user, folder, environment, argument list.

    The tree of a release stands aside until the exchange and after it was retired; when it is not there (any more),
    the release is the running one, and the view keeps its tree in sight when the next one takes its place.
    """
    with open(argv[1], encoding="utf-8") as stream:
        release = json.load(stream)
    if argv[2] == ONE_OFF:
        kept = {name: os.environ[name] for name in (SESSION, "TERM") if name in os.environ}
        process: dict[str, typing.Any] = {"argv": argv[3:], "env": kept}
    else:
        process = release["processes"][argv[2]]
        print_to(os.path.join(release["logs"], f"{process['type']}.log"), release["user"])
    if release["view"] and os.path.isdir(os.path.join(release["view"], "project")):
        aside = {"project": release["tree"]} if os.path.isdir(release["tree"]) else {}
        enter(release["project_dir"], release["view"], {**aside, **release.get("instead", {})}, hidden=(".corpus",))
    os.umask(0o022)
    if _without_new_privileges():
        renounce()
    become(release["user"])
    os.chdir(release["cwd"])
    # By these an orphan is known when supervisord itself was killed.
    supervised = {name: value for name, value in os.environ.items() if name.startswith("SUPERVISOR_")}
    if supervised and process.get("limits", {}).get("memory"):  # systemd limits all that it starts, supervisord nothing
        resource.setrlimit(resource.RLIMIT_DATA, (process["limits"]["memory"],) * 2)
    env = {**supervised, **release["env"], **process["env"]}
    try:
        os.execvpe(process["argv"][0], process["argv"], env)
    except OSError as err:
        sys.exit(f"{process['argv'][0]} cannot be run: {err.strerror}.")


if __name__ == "__main__":
    main(sys.argv)
