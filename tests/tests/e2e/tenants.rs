//! Many databases behind one Weir: by pattern, made and dropped at run time, on several clusters.

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio_postgres::NoTls;
use weir_tests::{Config, Weir, now};

use crate::limits::servers;
use crate::{WEIR, failure, one, pool, rig, soon, told};

fn tenants(databases: &str, pairs: &[(&'static str, &str)]) -> Config {
    Config { more: format!("databases: {databases}\n"), ..pool(pairs) }
}

fn create(node: &Node, name: &str) {
    node.psql(&format!("CREATE DATABASE {name} OWNER app")).unwrap();
}

async fn refused(weir: &Weir, database: &str) -> (String, String, String) {
    told(&weir.config("app", database).connect(NoTls).await.err().expect("it is refused"))
}

#[tokio::test]
async fn a_tenant_made_at_run_time_is_served_at_once_and_from_replicas_once_its_catalog_is_there() {
    let (cluster, weir) = rig(1, &tenants("{ app: {}, 'tenant_*': {} }", &[]));
    let (code, message, _) = refused(&weir, "tenant_1").await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("3D000", "database \"tenant_1\" does not exist")
    );
    create(cluster.primary(), "tenant_1");
    let client = weir.connect(&weir.config("app", "tenant_1")).await;
    assert_eq!(one(&client, "SELECT current_database()").await, "tenant_1");
    client
        .batch_execute(
            "CREATE TABLE t (n int); INSERT INTO t VALUES (7); \
             CREATE FUNCTION f() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(n) FROM t'",
        )
        .await
        .unwrap();
    soon("a replica serves it", async || {
        assert_eq!(one(&client, "SELECT f()").await, "7");
        one(&client, "SHOW weir.last_route").await == "replica b read"
    })
    .await;
    let (code, message, _) = refused(&weir, "tenan").await;
    assert_eq!(code, "3D000");
    assert!(message.contains("not configured"), "{message}");
}

#[tokio::test]
async fn a_tenant_can_be_dropped_once_its_servers_were_idle_for_long_enough() {
    let (cluster, weir) =
        rig(1, &tenants("{ app: {}, 'tenant_*': {} }", &[("server_idle_timeout", "1s")]));
    create(cluster.primary(), "tenant_1");
    let client = weir.connect(&weir.config("app", "tenant_1")).await;
    soon("a replica serves it", async || {
        one(&client, "SELECT count(*) FROM pg_class WHERE false").await;
        one(&client, "SHOW weir.last_route").await == "replica b read"
    })
    .await;
    // It stays connected, and holds no server.
    soon("it can be dropped", async || cluster.primary().psql("DROP DATABASE tenant_1").is_ok())
        .await;
    let (code, message, _) = failure(&client, "CREATE TABLE t (n int)").await;
    assert_eq!(code, "53000");
    assert!(message.contains("database \"tenant_1\" does not exist"), "{message}");
    create(cluster.primary(), "tenant_1");
    client.batch_execute("CREATE TABLE t (n int)").await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn what_weir_knows_of_a_tenant_goes_when_nobody_uses_it() {
    let (cluster, weir) =
        rig(1, &tenants("{ app: {}, 'tenant_*': {} }", &[("server_idle_timeout", "1s")]));
    let names = ["tenant_1", "tenant_2", "tenant_3"];
    let mut clients = Vec::new();
    for name in names {
        create(cluster.primary(), name);
        let client = weir.connect(&weir.config("app", name)).await;
        client.batch_execute("CREATE TABLE t ()").await.unwrap();
        clients.push(client);
    }
    soon("all catalogs are there", async || {
        names.iter().all(|name| weir.explain(name, "TABLE t").json()["class"] == "read")
    })
    .await;
    let forgotten = |name: &str| {
        let said = format!(
            "nobody uses the database any more; its catalog is forgotten cluster=\"main\" database=\"{name}\""
        );
        weir.log().contains(&said)
    };
    drop(clients.split_off(1));
    soon("those that nobody uses are forgotten", async || {
        names[1..].iter().all(|name| forgotten(name))
    })
    .await;
    for node in cluster.nodes() {
        assert_eq!(servers(node, "datname IN ('tenant_2', 'tenant_3')"), 0);
    }
    assert!(!forgotten(names[0]), "a client is there");
    // And whoever comes back finds all as it was.
    let client = weir.connect(&weir.config("app", names[1])).await;
    soon("a replica serves it", async || {
        one(&client, "SELECT count(*) FROM t").await;
        one(&client, "SHOW weir.last_route").await == "replica b read"
    })
    .await;
}

#[tokio::test]
async fn a_tenant_at_its_quota_disturbs_no_other() {
    let quotas = "{ app: {}, 'tenant_*': { pool_size: 2, max_db_connections: 1, max_db_client_connections: 3 } }";
    let (cluster, weir) = rig(0, &tenants(quotas, &[("query_wait_timeout", "3s")]));
    for name in ["tenant_1", "tenant_2"] {
        create(cluster.primary(), name);
    }
    let greedy = weir.config("app", "tenant_1");
    let (holder, waiter, _third) =
        (weir.connect(&greedy).await, weir.connect(&greedy).await, weir.connect(&greedy).await);
    assert_eq!(refused(&weir, "tenant_1").await.0, "53300");
    holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let waiting = tokio::spawn(async move { failure(&waiter, "SELECT 1").await });
    let modest = weir.connect(&weir.config("app", "tenant_2")).await;
    let mut slowest = Duration::ZERO;
    while !waiting.is_finished() {
        let since = now();
        assert_eq!(one(&modest, "SELECT 1").await, "1");
        slowest = slowest.max(since.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let (code, message, _) = waiting.await.unwrap();
    assert_eq!(code, "53300");
    assert!(message.contains("max_db_connections is 1"), "{message}");
    assert_eq!(servers(cluster.primary(), "datname = 'tenant_1'"), 1);
}

#[tokio::test]
async fn a_reload_adds_and_removes_an_entry_and_disturbs_nobody() {
    let (cluster, weir) = rig(0, &tenants("{ app: {} }", &[]));
    let client = weir.client().await;
    client.batch_execute("BEGIN; CREATE TABLE t ()").await.unwrap();
    assert_eq!(refused(&weir, "shop_1").await.0, "3D000");
    weir.reload(&cluster, &tenants("{ app: {}, 'shop_*': { dbname: app, pool_size: 1 } }", &[]));
    let shop = weir.connect(&weir.config("app", "shop_1")).await;
    assert_eq!(one(&shop, "SELECT current_database()").await, "app");
    client.batch_execute("COMMIT").await.unwrap();
    weir.reload(&cluster, &tenants("{ app: {} }", &[]));
    assert_eq!(refused(&weir, "shop_1").await.0, "3D000");
    assert_eq!(one(&shop, "SELECT count(*) FROM t").await, "0", "who is in stays in");
}

#[tokio::test]
async fn several_clusters_behind_one_weir_keep_to_themselves() {
    let (main, other) = (
        Cluster::builder().replicas(1).start().unwrap(),
        Cluster::builder().replicas(1).start().unwrap(),
    );
    let node = |node: &Node| {
        format!("{{ name: {}, host: {}, port: {} }}", node.name(), node.host(), node.port())
    };
    let nodes: Vec<String> = other.nodes().iter().map(node).collect();
    let more = format!(
        "  other:\n    nodes: [{}]\n    monitor: {{ user: weir_monitor, password: weir_monitor }}\n\
         databases:\n  app: {{ cluster: main }}\n  'other_*': {{ cluster: other, dbname: app }}\n",
        nodes.join(", ")
    );
    let config = Config { more, ..pool(&[("failover_hold", "300ms")]) };
    let weir = Weir::start(WEIR, &main, &config);
    let (here, there) = (weir.client().await, weir.connect(&weir.config("app", "other_app")).await);
    for (client, word) in [(&here, "here"), (&there, "there")] {
        client
            .batch_execute(&format!("CREATE TABLE t AS SELECT '{word}'::text AS w"))
            .await
            .unwrap();
        soon("a replica of its own serves it", async || {
            assert_eq!(one(client, "SELECT w FROM t").await, word);
            one(client, "SHOW weir.last_route").await == "replica b read"
        })
        .await;
    }
    assert_eq!(main.primary().psql_in("app", "SELECT w FROM t").unwrap(), "here");
    assert_eq!(other.primary().psql_in("app", "SELECT w FROM t").unwrap(), "there");
    other.primary().kill().unwrap();
    soon("the other cluster has no primary", async || {
        failure(&there, "INSERT INTO t VALUES ('lost')").await.0 == "53000"
    })
    .await;
    here.batch_execute("INSERT INTO t VALUES ('more')").await.unwrap();
    there.batch_execute("SET weir.consistency = 'eventual'").await.unwrap();
    assert_eq!(one(&there, "SELECT w FROM t").await, "there");
}
