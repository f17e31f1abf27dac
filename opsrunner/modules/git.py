"""git: a working copy of a repository, at one version."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import expanded_word, facts, shown, word

_NOT_YET = "it is not there yet: write a command"

SPEC = Spec(
    summary="Clone a repository, and bring the clone to a version",
    arguments={
        "repo": Argument("str", "where it is cloned from", required=True, aliases=("name",)),
        "dest": Argument("path", "where the clone is", required=True),
        "version": Argument("str", "branch, tag or commit; HEAD: the repository's own branch", default="HEAD"),
        "remote": Argument("str", "the name under which the clone knows the repository", default="origin"),
        "refspec": Argument("str", "what else is fetched"),
        "force": Argument("bool", "throw away what was changed in the clone", default=False),
        "depth": Argument("int", "only so many commits of the past"),
        "clone": Argument("bool", "clone it where it is not there", default=True),
        "update": Argument("bool", "fetch what is new", default=True),
        "accept_hostkey": Argument("bool", "trust the repository's host whoever it is", default=False),
        "accept_newhostkey": Argument("bool", "trust the repository's host the first time", default=False),
        "key_file": Argument("path", "file of the host with the key for ssh"),
        "ssh_opts": Argument("str", "options of ssh"),
        "executable": Argument("path", "which git", default="git"),
        "bare": Argument("bool", "no working copy", default=False),
        "recursive": Argument("bool", "submodules, too", default=True),
        "single_branch": Argument("bool", "clone nothing but the version's branch", default=False),
    },
    mutually_exclusive=(("accept_hostkey", "accept_newhostkey"),),
    check_mode="full",
    refused=dict.fromkeys(
        (
            *("reference", "verify_commit", "gpg_allowlist", "gpg_whitelist", "track_submodules"),
            *("umask", "archive", "archive_prefix", "separate_git_dir"),
        ),
        _NOT_YET,
    ),
    examples="""
- git: repo=https://git.example.com/app.git dest=/srv/app version=v1.4
- git:
    repo: git@git.example.com:app.git
    dest: /srv/app
    key_file: /etc/app/deploy_key
    accept_newhostkey: true
    force: true
""",
)

# $1 git, $2 dest, $3 repo, $4 remote, $5 version, $6 ssh's command (empty: git's own)
_BEGIN = r"""
git=$1 dest=$2 repo=$3 remote=$4 version=$5
has "$git" || give_up "Failed to find required executable \"$git\""
[ -z "$6" ] || { GIT_SSH_COMMAND=$6; export GIT_SSH_COMMAND; }
GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_TERMINAL_PROMPT LC_ALL
inside() { "$git" -C "$dest" "$@"; }
try() { what=$1; shift; said=$("$@" 2>&1 </dev/null) || give_up "$what: $said"; }
"""

_LOOK = (
    _BEGIN
    + r"""
if [ -e "$dest/.git" ] || [ -e "$dest/HEAD" ]; then
    fact there yes
    fact before "$(inside rev-parse --verify -q HEAD 2>/dev/null)"
    fact url "$(inside config --get "remote.$remote.url" 2>/dev/null)"
    if [ -e "$dest/.git" ] && [ -n "$(inside status --porcelain --untracked-files=no 2>/dev/null)" ]; then
        fact modified yes
    fi
elif [ -d "$dest" ] && [ -n "$(ls -A -- "$dest" 2>/dev/null)" ]; then fact occupied yes
fi
fact dest "$dest"
"""
)

# What the version is in the repository: told as a commit, where it is one that has a name.
_ASK = r"""
case $version in
*[!0-9a-f]*|'') ;;
*) if [ ${#version} -eq 40 ]; then fact wanted "$version"; exit 0; fi ;;
esac
said=$("$git" ls-remote -- "$repo" 2>&1 </dev/null) || give_up "Failed to connect to the repository: $said"
wanted=
for name in "refs/heads/$version" "refs/tags/$version^{}" "refs/tags/$version" "$version"; do
    wanted=$(printf '%s\n' "$said" | while read -r commit ref; do
        if [ "$ref" = "$name" ]; then echo "$commit"; break; fi
    done)
    [ -z "$wanted" ] || break
done
fact wanted "$wanted"
"""

# $7 depth, $8 refspec, $9 yes: throw changes away, ${10} yes: submodules, ${11} yes: bare
_FETCH = r"""
if [ -z "$(inside config --get "remote.$remote.url")" ]; then
    try "Failed to add remote" inside remote add "$remote" "$repo"
else try "Failed to set a new url $repo for $remote" inside remote set-url "$remote" "$repo"; fi
set -- "$@" fetch --force --tags ${7:+--depth "$7"} "$remote"
if [ "${11}" = yes ]; then set -- "$@" '+refs/heads/*:refs/heads/*'; fi
if [ -n "$8" ]; then set -- "$@" "$8"; fi
"""

_CHECK_OUT = r"""
[ "$9" != yes ] || try "Failed to reset" inside reset --hard -q
if [ "$version" = HEAD ]; then
    inside remote set-head "$remote" -a >/dev/null 2>&1
    branch=$(inside symbolic-ref -q --short "refs/remotes/$remote/HEAD" 2>/dev/null)
    branch=${branch#"$remote"/}
else branch=$version; fi
if [ -n "$branch" ] && inside show-ref --verify -q "refs/remotes/$remote/$branch"; then
    why="Failed to checkout branch $branch"
    if inside show-ref --verify -q "refs/heads/$branch"; then try "$why" inside checkout -q --force "$branch" --
    else try "$why" inside checkout -q --force --track -b "$branch" "$remote/$branch" --; fi
    try "Failed to reset to $remote/$branch" inside reset --hard -q "$remote/$branch" --
else
    try "Failed to checkout $version" inside checkout -q --force "$version" --
fi
if [ "${10}" = yes ] && [ -f "$dest/.gitmodules" ]; then
    try "Failed to sync submodules" inside submodule sync -q --recursive
    try "Failed to init/update submodules" inside submodule update -q --init --recursive --force
fi
"""


def run(context: Context) -> Result:
    """Clone what is not there; fetch and check out where the repository has something else."""
    arguments = context.arguments
    words = _words(context)
    told = facts(context, _LOOK, words)
    before = told.get("before") or None
    result: Result = {"changed": False, "before": before, "after": before, "remote_url_changed": False}
    if "there" not in told:
        if "occupied" in told:
            raise ModuleFailure(f"Failed to clone: {shown(told['dest'])} is there, not empty, and no clone")
        if not arguments["clone"] or context.check:
            wanted = facts(context, _BEGIN + _ASK, words)["wanted"] or None
            return result | {"changed": True, "after": wanted}
        return result | {"changed": True, "after": _cloned(context, words)}
    if not arguments["update"]:
        return result
    if "modified" in told and not arguments["force"] and not arguments["bare"]:
        raise ModuleFailure(
            f"Local modifications exist in the destination: {shown(told['dest'])} (force=no).", **result
        )
    result["remote_url_changed"] = moved = told["url"] != arguments["repo"]
    wanted = facts(context, _BEGIN + _ASK, words)["wanted"]
    discarded = "modified" in told
    if wanted == before and not moved and not discarded:
        return result
    if context.check:
        return result | {"changed": True, "after": wanted}
    after = _brought_up(context, words)
    return result | {"changed": before != after or discarded or moved, "after": after}


def _words(context: Context) -> list[str]:
    arguments = context.arguments
    if any(arguments[key].startswith("-") for key in ("repo", "remote", "version")):
        raise ModuleFailure("repo, remote and version do not begin with a dash")
    depth = arguments["depth"]
    if depth is not None and depth < 1:
        raise ModuleFailure("depth is at least 1")
    flags = ("yes" if arguments[key] else "no" for key in ("force", "recursive", "bare"))
    named = [expanded_word(arguments["executable"]), expanded_word(arguments["dest"])]
    named += [word(arguments[key]) for key in ("repo", "remote", "version")]
    return [*named, word(_ssh(arguments)), str(depth or "''"), word(arguments["refspec"] or ""), *flags]


def _ssh(arguments: Mapping[str, Any]) -> str:
    try:
        options: list[str] = shlex.split(arguments["ssh_opts"] or "")
    except ValueError as error:
        raise ModuleFailure(f"cannot split ssh_opts into words: {error}") from None
    if arguments["key_file"]:
        options += ["-i", arguments["key_file"], "-o", "IdentitiesOnly=yes"]
    if arguments["accept_hostkey"]:
        options += ["-o", "StrictHostKeyChecking=no"]
    if arguments["accept_newhostkey"]:
        options += ["-o", "StrictHostKeyChecking=accept-new"]
    return shlex.join(["ssh", "-o", "BatchMode=yes", *options]) if options else ""


def _cloned(context: Context, words: list[str]) -> str:
    arguments = context.arguments
    options = ["--bare"] if arguments["bare"] else ["--no-checkout"]
    options += ["--origin", word(arguments["remote"])]
    if arguments["depth"]:
        options += ["--depth", str(arguments["depth"])]
    if arguments["single_branch"]:
        options.append("--single-branch")
    is_commit = len(arguments["version"]) == 40 and not set(arguments["version"]) - set("0123456789abcdef")
    if arguments["version"] != "HEAD" and not is_commit and (arguments["depth"] or arguments["single_branch"]):
        options += ["--branch", word(arguments["version"])]
    body = 'mkdir -p -- "$(dirname -- "$dest")" || give_up "cannot make the folder above $dest"\n'
    body += f'try "Failed to clone" "$git" clone -q {" ".join(options)} -- "$repo" "$dest"\n'
    return _at(context, words, body)


def _brought_up(context: Context, words: list[str]) -> str:
    body = _FETCH + 'shift 11\ntry "Failed to download remote objects and refs" inside "$@"\n'
    # The flags are words of the step, and fetch has taken their places.
    return _at(context, words, f'fetch() {{ {body} }}\nfetch "$@"\n')


def _at(context: Context, words: list[str], body: str) -> str:
    out = "" if context.arguments["bare"] else _CHECK_OUT
    return facts(context, f'{_BEGIN}{body}{out}fact after "$(inside rev-parse HEAD)"', words)["after"]
