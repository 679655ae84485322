//! What operators write, what it means, and what is wrong with it.

use std::net::SocketAddr;
use std::time::Duration;

use given::{LEAST, meant, mistakes, mistakes_with};
use policy::{Consistency, OnStale, Scope};
use proxy::config::{AuthMethod, ClientTls, PoolMode, ServerTls};

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod given {
    use weir::config::{Settings, parse};

    pub(crate) const LEAST: &str = "
auth: { method: trust }
clusters: { main: { nodes: [{ name: a, host: 127.0.0.1 }] } }
";

    fn env(name: &str) -> Option<String> {
        (name == "APP_PASSWORD").then(|| "s3cret".to_owned())
    }

    pub(crate) fn meant(yaml: &str) -> Settings {
        parse(yaml, &env).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    pub(crate) fn mistakes(yaml: &str) -> Vec<String> {
        match parse(yaml, &env) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    /// `LEAST` plus a few lines.
    pub(crate) fn mistakes_with(lines: &str) -> Vec<String> {
        mistakes(&format!("{LEAST}\n{lines}"))
    }
}

#[test]
fn one_node_and_a_way_to_log_in_are_enough() {
    let settings = meant(LEAST);
    assert_eq!(settings.listen, SocketAddr::from(([127, 0, 0, 1], 6432)));
    assert_eq!(settings.workers.get(), 1);
    assert_eq!(settings.clusters["main"].nodes[0].port, 5432);
    let any = settings.databases.of("x").expect("the only cluster serves every name");
    assert_eq!((any.cluster.as_str(), any.mode), ("main", PoolMode::Transaction));
    assert_eq!(any.reads.consistency, Consistency::Session);
    assert_eq!(settings.tls.client, ClientTls::Disable);
    assert!(matches!(settings.tls.server, ServerTls::Prefer(_)));
}

#[test]
fn every_part_can_be_said() {
    let settings = meant(
        "
listen: 127.0.0.1:7000
workers: 2
admin: { listen: 0.0.0.0:8000, token: '${APP_PASSWORD}' }
auth: { method: scram-sha-256, users: { app: { password: '${APP_PASSWORD}' } } }
pool: { mode: session, default_pool_size: 7, query_wait_timeout: 2s, max_packet_size: 8MiB, failover_hold: 0 }
reads: { scope: database, max_lag: 2s, on_stale: wait, stale_wait: 50ms }
clusters:
  main:
    nodes: [{ name: a, host: h1, port: '5433', weight: 3 }, { name: b, host: h1, port: 5434 }]
    monitor: { user: m, password: p, database: d }
    probe_interval: 1s
    read_only_functions: [app.f]
    write_functions: [g]
databases:
  shop: { cluster: main, dbname: shop_v2, mode: transaction, pool_size: 3, reads: { consistency: eventual, max_lag: off } }
  '*': { cluster: main }
log: { format: json, level: 'proxy=debug,info' }
",
    );
    assert_eq!(settings.auth.method, AuthMethod::ScramSha256);
    assert_eq!(settings.auth.users["app"].password.expose(), "s3cret");
    assert_eq!(settings.pool.default_pool_size, 7);
    assert_eq!(settings.pool.max_packet_size, 8 << 20);
    assert_eq!(settings.pool.failover_hold, Duration::ZERO);
    assert_eq!(settings.clusters["main"].nodes[0].port, 5433);
    let shop = settings.databases.of("shop").expect("shop");
    assert_eq!(
        (shop.mode, shop.limits.pool_size, shop.dbname.as_deref()),
        (PoolMode::Transaction, Some(3), Some("shop_v2"))
    );
    assert_eq!((shop.reads.consistency, shop.reads.max_lag), (Consistency::Eventual, None));
    assert_eq!((shop.reads.scope, shop.reads.on_stale), (Scope::Database, OnStale::Wait));
    assert_eq!(settings.databases.of("other").expect("*").mode, PoolMode::Session);
}

#[test]
fn limits_by_user_and_by_database_stand_where_they_belong() {
    let settings = meant(
        "
auth: { method: trust, users: { app: { password: p, pool_size: 2, max_user_connections: 3, max_user_client_connections: 4 } } }
clusters: { main: { nodes: [{ name: a, host: h }] } }
pool: { min_pool_size: 1, max_db_connections: 40, max_user_connections: 30, max_db_client_connections: 20, max_user_client_connections: 10,
        query_timeout: 1s, transaction_timeout: 2s, idle_transaction_timeout: 3s, client_idle_timeout: 4s }
databases: { shop: { min_pool_size: 5, reserve_pool_size: 6, max_db_connections: 7, max_db_client_connections: 0 } }
",
    );
    let app = settings.auth.users["app"].limits;
    assert_eq!((app.pool_size, app.max_user_connections), (Some(2), Some(3)));
    assert_eq!(app.max_user_client_connections, Some(4));
    let shop = settings.databases.of("shop").expect("shop").limits;
    assert_eq!((shop.min_pool_size, shop.reserve_pool_size), (Some(5), Some(6)));
    assert_eq!((shop.max_db_connections, shop.max_db_client_connections), (Some(7), Some(0)));
    let pool = &settings.pool;
    assert_eq!((pool.min_pool_size, pool.max_db_connections), (1, 40));
    assert_eq!((pool.max_user_connections, pool.max_db_client_connections), (30, 20));
    assert_eq!(pool.max_user_client_connections, 10);
    let times = [
        pool.query_timeout,
        pool.transaction_timeout,
        pool.idle_transaction_timeout,
        pool.client_idle_timeout,
    ];
    assert_eq!(times, [1, 2, 3, 4].map(Duration::from_secs));
}

#[test]
fn what_postgres_and_pgbouncer_leave_unlimited_is_unlimited_by_default() {
    let pool = meant(LEAST).pool;
    let times = [
        pool.query_timeout,
        pool.transaction_timeout,
        pool.idle_transaction_timeout,
        pool.client_idle_timeout,
    ];
    assert_eq!(times, [Duration::ZERO; 4]);
    let sizes = [pool.max_db_connections, pool.max_user_connections, pool.min_pool_size];
    assert_eq!(sizes, [0; 3]);
}

#[test]
fn a_star_stands_at_the_end_of_a_databases_name_and_nowhere_else() {
    assert!(mistakes_with("databases: { 'tenant_*': {}, '*': {}, tenant: {} }").is_empty());
    for name in ["*_x", "a*b", "**", "a*b*"] {
        let found = mistakes_with(&format!("databases: {{ '{name}': {{}} }}"));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with(&format!("databases.\"{name}\": a star stands")), "{found:?}");
    }
    let found = mistakes_with("databases: { 'tenant_*': {}, 'tenant_*': {} }");
    assert_eq!(found, ["databases.\"tenant_*\": this key comes twice; keep one"]);
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_path() {
    let found = mistakes(
        "
listen: here
workers: 0
clusters:
  main:
    nodes:
      - { name: a, host: h }
      - { name: a, host: H, port: 99999, wieght: 2 }
databases:
  shop: { cluster: mian }
",
    );
    let paths: Vec<&str> = found.iter().filter_map(|line| line.split(": ").next()).collect();
    let want = [
        "listen",
        "workers",
        "auth.users",
        "clusters.main.nodes[1].port",
        "clusters.main.nodes[1].name",
        "clusters.main.nodes[1].host",
        "clusters.main.nodes[1].wieght",
        "databases.shop.cluster",
    ];
    assert_eq!(paths, want, "{found:#?}");
    assert!(found[6].ends_with("did you mean weight?"), "{found:?}");
    assert!(found[7].ends_with("did you mean main?"), "{found:?}");
}

#[test]
fn a_key_that_comes_twice_is_a_mistake_at_any_depth() {
    assert_eq!(mistakes_with("auth: { method: trust }"), ["auth: this key comes twice; keep one"]);
    let found = mistakes_with("pool: { max_client_conn: 1, max_client_conn: 2 }");
    assert_eq!(found, ["pool.max_client_conn: this key comes twice; keep one"]);
    let found = mistakes(
        "auth: { method: trust }\nclusters:\n  a: { nodes: [{ name: x, host: h }] }\n  a: {}\n",
    );
    assert!(found.contains(&"clusters.a: this key comes twice; keep one".to_owned()), "{found:?}");
}

#[test]
fn max_lag_at_twice_the_probe_interval_is_allowed_and_less_is_not() {
    assert!(mistakes_with("reads: { max_lag: 500ms }").is_empty());
    let found = mistakes_with("reads: { max_lag: 499ms }");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("reads: max_lag must be at least 500ms"), "{found:?}");
    let found = mistakes_with("databases: { d: { reads: { max_lag: 1ms } } }");
    assert!(found[0].starts_with("databases.d.reads: max_lag"), "{found:?}");
    let found = mistakes_with("reads: { max_lag: 1ms }\ndatabases: { c: {}, d: {} }");
    assert_eq!(found.len(), 1, "said once, where it was written: {found:?}");
}

#[test]
fn a_users_reads_say_only_what_differs_and_a_bound_on_lag_must_be_measurable_there_too() {
    let user = |reads: &str| {
        format!(
            "auth: {{ method: trust, users: {{ u: {{ password: p, reads: {{ {reads} }} }} }} }}\nclusters: {{ main: {{ nodes: [{{ name: a, host: h }}] }} }}\n"
        )
    };
    let settings = meant(&user("max_lag: off, consistency: eventual"));
    let expected = [("consistency", "eventual".to_owned()), ("max_lag", "off".to_owned())];
    assert_eq!(settings.auth.users["u"].reads, expected);
    assert!(mistakes(&user("max_lag: 500ms")).is_empty());
    let found = mistakes(&user("max_lag: 499ms"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("auth.users.u.reads: max_lag must be at least 500ms"),
        "{found:?}"
    );
    let found = mistakes(&user("consistency: none"));
    assert!(found[0].starts_with("auth.users.u.reads.consistency: expected"), "{found:?}");
    // The share of a pool is not one user's to lift.
    let found = mistakes(&user("max_primary_read_share: 50%"));
    assert!(found[0].starts_with("auth.users.u.reads.max_primary_read_share"), "{found:?}");
}

#[test]
fn the_share_of_reads_that_fall_back_is_a_percentage_or_off_for_all_or_for_one_database() {
    let settings = meant(&format!(
        "{LEAST}reads: {{ max_primary_read_share: 50% }}\ndatabases:\n  c: {{}}\n  d: {{ reads: {{ max_primary_read_share: off }} }}\n  e: {{ reads: {{ max_primary_read_share: 5% }} }}\n"
    ));
    let share = |name| settings.databases.of(name).expect(name).max_primary_read_share;
    let shown = ["c", "d", "e"].map(|name| share(name).map(|share| share.to_string()));
    assert_eq!(shown, [Some("50%".to_owned()), None, Some("5%".to_owned())]);
    for wrong in ["50", "0%", "101%", "half", "[]"] {
        let found = mistakes_with(&format!("reads: {{ max_primary_read_share: {wrong} }}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("reads.max_primary_read_share: expected"), "{found:?}");
    }
}

#[test]
fn an_admin_api_that_others_can_reach_needs_a_token() {
    assert!(mistakes_with("admin: { listen: '[::1]:1' }").is_empty());
    assert!(
        mistakes_with("admin: { listen: 0.0.0.0:1 }")[0].starts_with("admin.token: is required")
    );
    assert!(
        mistakes_with("admin: { listen: 0.0.0.0:1, token: '${NO:-}' }")[0]
            .starts_with("admin.token: is empty")
    );
    assert!(mistakes_with("admin: { listen: 0.0.0.0:1, token: t }").is_empty());
}

#[test]
fn scram_needs_somebody_who_can_log_in() {
    let nodes = "clusters: { main: { nodes: [{ name: a, host: h }] } }";
    assert!(mistakes(nodes)[0].starts_with("auth.users: is required"));
    let found = mistakes(&format!("{nodes}\nauth: {{ users: {{ app: {{ }} }} }}"));
    assert!(found[0].starts_with("auth.users.app.password: is required"), "{found:?}");
}

#[test]
fn a_password_is_never_printed() {
    let yaml = format!("{LEAST}\npool: {{ max_client_conn: '${{APP_PASSWORD}}' }}");
    assert!(!mistakes(&yaml).concat().contains("s3cret"));
    let settings =
        meant(&LEAST.replace("trust }", "trust, users: { app: { password: s3cret } } }"));
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[test]
fn an_empty_password_never_passes_and_is_a_mistake() {
    let nodes = "clusters: { main: { nodes: [{ name: a, host: h }] } }";
    let found = mistakes(&format!("{nodes}\nauth: {{ users: {{ app: {{ password: '' }} }} }}"));
    assert!(found[0].starts_with("auth.users.app.password: is empty"), "{found:?}");
}

#[test]
fn a_function_cannot_both_write_and_not() {
    let lists = "read_only_functions: [f, g], write_functions: [g]";
    let yaml = LEAST.replace("main: {", &format!("main: {{ {lists},"));
    let found = mistakes(&yaml);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("clusters.main.read_only_functions: g is also"), "{found:?}");
}

#[test]
fn tls_that_cannot_work_is_a_mistake() {
    let first = |lines: &str| mistakes_with(lines).first().cloned().unwrap_or_default();
    assert!(first("tls: { client: require }").starts_with("tls.client: needs tls.certificate"));
    assert!(first("tls: { key: /nowhere }").starts_with("tls.certificate: is required"));
    assert!(
        first("tls: { certificate: /nowhere, key: /nowhere }")
            .starts_with("tls.certificate: can't read /nowhere")
    );
    assert!(first("tls: { server: verify-full }").starts_with("tls.ca: is required"));
    assert!(first("tls: { server: require, ca: /nowhere }").starts_with("tls.ca: is used with"));
    assert!(
        first("tls: { certificate: /dev/null, key: /dev/null }")
            .starts_with("tls.certificate: not a PEM")
    );
}

#[test]
fn several_clusters_need_their_databases_named() {
    let two = "
auth: { method: trust }
clusters:
  a: { nodes: [{ name: x, host: h }] }
  b: { nodes: [{ name: x, host: h }] }
";
    assert!(mistakes(two)[0].starts_with("databases: is required with several clusters"));
    let found = mistakes(&format!("{two}\ndatabases: {{ d: {{ }} }}"));
    assert!(found[0].starts_with("databases.d.cluster: is required"), "{found:?}");
}

#[test]
fn what_is_not_yaml_says_where() {
    let found = mistakes("listen: [\n");
    assert!(found[0].starts_with("not YAML: ") && found[0].contains("line"), "{found:?}");
    assert_eq!(mistakes("- a\n").first().map(String::as_str), Some("expected a map, found a list"));
}

#[test]
fn trust_on_an_open_address_is_warned_about() {
    assert!(meant(LEAST).warnings.is_empty());
    let open = meant(&format!("{LEAST}\nlisten: 0.0.0.0:6432"));
    assert_eq!(open.warnings[0].path, "auth.method");
}
