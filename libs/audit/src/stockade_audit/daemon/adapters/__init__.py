"""The parts the daemon runs on."""
