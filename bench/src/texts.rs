//! Statements that are read again and again in the benchmarks.

/// What a client sends again and again; 60 bytes.
pub const SHORT: &str = "SELECT id, name, price FROM products WHERE category = 'book'";

/// pgbench's read.
pub const PRIMARY_KEY: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";

/// A join of the usual length.
pub const AVERAGE: &str = "SELECT o.id, o.placed_at, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id \
     WHERE o.status = $1 AND o.placed_at > now() - interval '7 days' ORDER BY o.placed_at DESC LIMIT 20";

/// A write that is not an `UPDATE`.
pub const UPSERT: &str = "INSERT INTO counters (name, day, hits) VALUES ($1, $2, 1) \
     ON CONFLICT (name, day) DO UPDATE SET hits = counters.hits + excluded.hits RETURNING hits";

/// The tables in them.
pub const TABLES: &[&str] =
    &["products", "pgbench_accounts", "orders", "customers", "counters", "line_items", "addresses"];
