"""What runs sandboxes: adapters behind `domain.ports.Engine`."""
