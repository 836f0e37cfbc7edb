"""What runs inside each sandbox as PID 1: it dials the host, runs what the host asks for, and serves the doors.

Standard library only, Python 3.9 and later, started with `-I -S`. It imports little and keeps plain classes instead of
dataclasses, since each module costs memory in every sandbox. The host uses `frames` from here, so that both ends of the
line agree.
"""
