//! The admin HTTP API: health, metrics, clusters, explain.
