"""The stockade command."""
