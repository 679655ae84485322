//! Real PostgreSQL clusters on loopback for tests and people.
