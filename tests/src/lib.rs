//! End-to-end tests: real clusters, real drivers, faults.
