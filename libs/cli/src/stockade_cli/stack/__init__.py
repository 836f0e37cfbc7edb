"""The local stack: the services and the gate as supervised processes of one machine."""
