"""The contract's RPCs: from messages to the domain and back, and nothing else."""
