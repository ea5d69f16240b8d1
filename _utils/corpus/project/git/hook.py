"""The pre-receive hook: a few lines of shell that hand a push over and wait for its deployment.

git runs it as the user who pushed, before any branch moves; what it prints reaches the pusher, and when it fails the
branch stays (githooks(5)).
"""

from __future__ import annotations

import shlex

_SCRIPT = """\
#!/bin/sh
# Written by corpus: a push to {repository} of {name} is deployed while it waits.
{{
    printf 'who %s\\n' "${{CORPUS_WHO:-$(id -un)}}"
    printf 'from %s\\n' "${{SSH_CONNECTION%% *}}"
    printf 'quarantine %s\\n' "$GIT_QUARANTINE_PATH"
    count=0
    while [ "$count" -lt "${{GIT_PUSH_OPTION_COUNT:-0}}" ]; do
        eval "printf 'option %s\\\\n' \\"\\$GIT_PUSH_OPTION_$count\\""
        count=$((count + 1))
    done
    sed 's/^/update /'
}} | {call} | grep -x {accepted} >/dev/null
"""

#: what the call prints when git may move the branch. Its exit status alone does not tell: Salt's commands answer a
#: signal that comes while they start with status 0
ACCEPTED = "accepted"


#: what git-shell runs for a key: tells the hook whose key it was, and nothing else is possible (git-shell(1))
PUSH_AS = """\
#!/bin/sh
# Written by corpus: hands a push over under the name of its key.
CORPUS_WHO=$1 exec git-shell -c "$SSH_ORIGINAL_COMMAND"
"""


#: what the other side of a promotion asks git-shell for
RECEIVE_RELEASE_COMMAND = "receive-release"

_RECEIVE_RELEASE = """\
#!/bin/sh
# Written by corpus: takes a release that another machine hands over.
exec {call}
"""

#: variables that tell who is at the other end of the connection; they pass through sudo
ORIGIN = ("CORPUS_WHO", "SSH_CONNECTION")

#: what git-shell runs for a key that may hand over releases, and nothing else
DELIVER_AS = """\
#!/bin/sh
# Written by corpus: this key hands releases over, and nothing else is possible.
if [ "$SSH_ORIGINAL_COMMAND" != receive-release ]; then
    echo "This key hands releases over (mc_project.promote), and does nothing else." >&2
    exit 1
fi
CORPUS_WHO=$1 exec git-shell -c receive-release
"""


def receive_release(call: list[str], sudo: bool) -> str:
    """Return the command that hands a release over.

    :param call: the command that takes it from standard input
    :param sudo: whether root must run it
    """
    return _RECEIVE_RELEASE.format(call=shlex.join(["sudo", "-n", *call] if sudo else call))


def script(name: str, repository: str, call: list[str], sudo: bool) -> str:
    """Return the hook of a repository.

    :param name: of the project
    :param repository: ``project`` or ``pillar``
    :param call: the command that takes the push from standard input
    :param sudo: whether root must run it
    """
    words = ["sudo", "-n", *call] if sudo else call
    return _SCRIPT.format(name=name, repository=repository, call=shlex.join(words), accepted=ACCEPTED)
