"""What every Stockade service does the same way: serving, identity, errors, tracing, recording."""
