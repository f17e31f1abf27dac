"""What the scripts of this folder share: what is to be done, and on whom.

A script is called ``script.py ACTION NAMES PORT KEY KNOWN_HOSTS [stay]``. It does its work and prints ``verified N``,
N being the hosts whose output was what it must be; with ``stay`` once more for each line that it is sent.
"""

import getpass
import sys
from pathlib import Path

#: Action: (command, how often one after the other on all hosts).
ACTIONS = {
    "echo": ("/bin/echo opsok", 1),
    "ten": ("/bin/echo opsok", 10),
    "big": (r"head -c 1000000 /dev/zero | tr '\0' x", 1),
}

action, names, port, key, known_hosts = sys.argv[1:6]
command, steps = ACTIONS[action]
hosts = Path(names).read_text().split()
port = int(port)
user = getpass.getuser()
stays = "stay" in sys.argv[6:]


def is_right(text):
    return len(text) == 1_000_000 if action == "big" else text.strip() == "opsok"


def drive(once):
    """``once()`` runs the command on every host and gives {host: output}."""
    while True:
        right = [sum(is_right(text) for text in once().values()) for _ in range(steps)]
        print("verified", min(right), flush=True)
        if not stays or not sys.stdin.readline():
            return
