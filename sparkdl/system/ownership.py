"""Write access to a file or a directory, by its owner and mode."""

from __future__ import annotations

import grp
import os
import pwd
import stat


def writable_by_others(status: os.stat_result, *, sticky: bool = False) -> str | None:
    """Return why users other than this one and root can write to something; None if they cannot.

    With `sticky`, a directory with the sticky bit, such as /tmp, passes: others can add files to it, but replace only
    their own. Access control lists are ignored.
    """
    if status.st_uid not in {0, os.geteuid()}:
        return f"belongs to another user ({_name_of(status.st_uid)})"
    if sticky and stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return None
    if status.st_mode & stat.S_IWOTH:
        return "can be written by everybody"
    if status.st_mode & stat.S_IWGRP and not _is_group_of_one(status.st_gid):
        return f"can be written by the group {status.st_gid}"
    return None


def _is_group_of_one(group: int) -> bool:
    """Whether a group contains only this user: many systems create such a group and let it write by default."""
    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
