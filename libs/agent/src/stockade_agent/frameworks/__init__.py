"""Stockade in the frameworks that agents are built with; each module needs the extra of its name."""
