"""What is decided and by which rule: plain values and pure functions, behind ports."""
