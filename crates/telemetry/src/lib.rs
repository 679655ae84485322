//! Metric primitives and tracing set-up; no PostgreSQL words.
