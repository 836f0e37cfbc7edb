"""Evidence of a period, for an auditor who has nothing but the archive: counts, proofs, samples, report, verifier."""
