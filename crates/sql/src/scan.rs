//! PostgreSQL's lexical rules, without allocation.
