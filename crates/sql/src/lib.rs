//! What a SQL text may do: scan, fingerprint, classify, hints.
