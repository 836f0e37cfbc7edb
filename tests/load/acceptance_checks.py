"""Programs of the acceptance run, for inside a sandbox. A check ends with 0 where the wall holds."""

CHECKS = {
    "no interface but lo": """
import socket, sys
sys.exit([name for _, name in socket.if_nameindex()] != ["lo"])
""",
    "no way to the network": """
import socket, sys
with socket.socket() as probe:
    probe.settimeout(3)
    sys.exit(probe.connect_ex(("1.1.1.1", 443)) == 0)
""",
    "no UDP": """
import socket, sys
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53))
except OSError:
    sys.exit(0)
sys.exit(1)
""",
    "no metadata service": """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen("http://169.254.169.254/", timeout=5)
except urllib.error.HTTPError as error:
    sys.exit(error.code != 403)
sys.exit(1)
""",
    "no engine's socket": """
import os, sys
sys.exit(os.path.exists("/var/run/docker.sock"))
""",
    "a root that cannot be written": """
import sys
try:
    open("/x", "w")
except OSError:
    sys.exit(0)
sys.exit(1)
""",
    "sockets that cannot be replaced": """
import os, sys
try:
    os.rename("/run/stockade/egress.sock", "/run/stockade/x")
except OSError:
    sys.exit(0)
sys.exit(1)
""",
    "not root": """
import os, sys
sys.exit(os.getuid() == 0)
""",
    "no capability": """
import sys
sys.exit(any(int(line.split()[1], 16) for line in open("/proc/self/status") if line.startswith("Cap")))
""",
    "no new privileges": """
import sys
sys.exit("NoNewPrivs:\\t1" not in open("/proc/self/status").read())
""",
    "system calls are filtered": """
import sys
sys.exit("Seccomp:\\t2" not in open("/proc/self/status").read())
""",
    "no processes of others": """
import os, sys
uids = {os.stat(f"/proc/{name}").st_uid for name in os.listdir("/proc") if name.isdigit()}
sys.exit(uids != {os.getuid()})
""",
}

ASK = """
import json, sys, time, urllib.error, urllib.request
seconds, pause, names = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
end, sent = time.monotonic() + seconds, dict.fromkeys(names, 0)
while time.monotonic() < end:
    for name in names:
        sent[name] += 1
        try:
            urllib.request.urlopen(f"http://{name}/", timeout=10).read()
        except urllib.error.HTTPError as error:
            error.read()
        time.sleep(pause)
print(json.dumps(sent))
"""
"""Asks for these names until the time is over; says how often each."""

EAT = """
kept = []
while True:
    kept.append(bytearray(16 << 20))
"""
"""Takes all the memory there is."""
