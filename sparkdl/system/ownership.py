"""Who can write to a file or a directory, by its owner and mode."""

from __future__ import annotations

import grp
import os
import pwd
import stat


def writable_by_others(status: os.stat_result, *, sticky: bool = False) -> str | None:
    """Return why something is not for this user and root alone to write to, None if it is.

    With `sticky`, a directory with the sticky bit, as /tmp, passes: others can add to it, and exchange nothing that is
    not theirs. Access control lists are not looked at.
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
    """Whether a group is this user's own, as many systems make one for each user and let it write by default."""
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
