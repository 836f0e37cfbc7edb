"""The program of PID 1: `python3 -I -S <this folder>`."""

from supervisor.main import main

main()
