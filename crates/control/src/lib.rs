//! Probes, roles, the LSN clock and catalogs.
