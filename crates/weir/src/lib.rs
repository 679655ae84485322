//! The weir binary: configuration, wiring, signals.
