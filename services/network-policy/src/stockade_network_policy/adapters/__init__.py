"""What stands behind the ports: embedded engines, and those that many replicas share."""
