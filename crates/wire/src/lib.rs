//! PostgreSQL protocol v3: bytes to messages and back, without I/O.
