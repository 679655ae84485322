//! A cluster for people: `testbed up`, `testbed status`, `testbed down`.
fn main() {}
