"""The network-policy service: what each type of agent may reach, decided, enforced and recorded."""
