"""What a sandbox does that takes all it can: programs to run in one at once, each without end."""

PROGRAMS = {
    "endless output": """
import sys
while True: sys.stdout.write("x" * 65536)
""",
    "a busy loop": "while True: pass",
    "a flood of its tmpfs": """
while True:
    try:
        with open("/tmp/flood", "wb") as file:
            while True: file.write(bytes(1 << 20))
    except OSError: pass
""",
    "a flood of its disk": """
import os
piece = os.urandom(1 << 20)
while True:
    try:
        with open("/workspace/flood", "wb") as file:
            while True: file.write(piece)
    except OSError: pass
""",
    "a fork bomb": """
import os
while True:
    try: os.fork()
    except OSError: pass
""",
}
"""The fork bomb is last: after it nothing else can be started there."""

MOST_OUTPUT = 1 << 40
"""Allow so much, or the output's limit ends the program."""
