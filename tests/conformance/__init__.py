"""The conformance session: one table of steps, one small client per language, every result compared."""
