//! Catalogs are as new as the primary's schema.

use std::sync::Arc;
use std::time::Duration;

use control::Catalogs;
use policy::Signal;
use sql::Catalog;
use testkit::Cluster;
use tokio::time::timeout;

use crate::rig::{PATIENCE, Plan, Rig};

const DB: &str = "app";

/// Waits for a catalog of `database` newer than `version`.
async fn newer(rig: &mut Rig, database: &str, version: Option<u64>) -> Arc<Catalog> {
    let is_newer = |catalog: &Arc<Catalog>| Some(catalog.version()) > version;
    let seen = rig.catalogs.wait_for(|all| all.get(database).is_some_and(is_newer));
    let seen = timeout(PATIENCE, seen).await.map(|all| all.map(|all| Arc::clone(&all[database])));
    match seen {
        Ok(Ok(catalog)) => catalog,
        _ => panic!("no catalog of {database} newer than {version:?}; log:\n{}", rig.log()),
    }
}

fn define(cluster: &Cluster, database: &str, name: &str) {
    let sql = format!("CREATE FUNCTION {name}() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'");
    cluster.primary().psql_in(database, &sql).unwrap();
}

#[tokio::test]
async fn a_catalog_is_loaded_when_a_client_logs_in_and_again_after_each_schema_change() {
    let cluster = Cluster::builder().start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    rig.signals.send(Signal::Database(DB.into())).unwrap();
    let mut version = newer(&mut rig, DB, None).await.version();
    for step in 0..3 {
        define(&cluster, DB, &format!("f{step}"));
        rig.signals.send(Signal::SchemaChanged(DB.into())).unwrap();
        version = newer(&mut rig, DB, Some(version)).await.version();
    }
    assert_eq!(rig.catalogs.borrow().len(), 1);
}

#[tokio::test]
async fn a_catalog_that_did_not_change_keeps_its_version() {
    let cluster = Cluster::builder().start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    for database in [DB, "postgres"] {
        rig.signals.send(Signal::Database(database.into())).unwrap();
        newer(&mut rig, database, None).await;
    }
    // Nothing changed in the first one; the other's reload, asked for later, ends later.
    rig.signals.send(Signal::SchemaChanged(DB.into())).unwrap();
    define(&cluster, "postgres", "f");
    rig.signals.send(Signal::SchemaChanged("postgres".into())).unwrap();
    newer(&mut rig, "postgres", Some(2)).await;
    define(&cluster, DB, "f");
    rig.signals.send(Signal::SchemaChanged(DB.into())).unwrap();
    let last = newer(&mut rig, DB, Some(1)).await;
    assert_eq!(last.version(), 4, "published: app, postgres, postgres, app; log:\n{}", rig.log());
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_forgotten() {
    let cluster = Cluster::builder().start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    cluster.primary().psql("CREATE DATABASE brief").unwrap();
    rig.signals.send(Signal::Database("brief".into())).unwrap();
    let first = newer(&mut rig, "brief", None).await;
    cluster.primary().psql("DROP DATABASE brief").unwrap();
    rig.signals.send(Signal::SchemaChanged("brief".into())).unwrap();
    let gone = rig.catalogs.wait_for(|all| all.is_empty());
    drop(timeout(PATIENCE, gone).await.unwrap().unwrap());

    cluster.primary().psql("CREATE DATABASE brief").unwrap();
    // Made anew, it must not be mistaken for the old one.
    let again = loop {
        rig.signals.send(Signal::Database("brief".into())).unwrap();
        let seen = rig.catalogs.wait_for(|all| !all.is_empty());
        if let Ok(Ok(all)) = timeout(PATIENCE, seen).await {
            break Arc::clone(&all["brief"]);
        }
    };
    assert!(again.version() > first.version());
}

#[tokio::test]
async fn a_catalog_is_forgotten_some_time_after_its_last_user_left_and_comes_back_with_the_next() {
    let cluster = Cluster::builder().start().unwrap();
    let forget_after = Duration::from_millis(300);
    let mut rig = Plan { forget_after, ..Plan::of(&cluster) }.start();
    for _ in 0..2 {
        rig.signals.send(Signal::Database(DB.into())).unwrap();
    }
    rig.signals.send(Signal::Database("postgres".into())).unwrap();
    let first = newer(&mut rig, DB, None).await.version();
    newer(&mut rig, "postgres", None).await;
    rig.signals.send(Signal::Left(DB.into())).unwrap();
    let gone = |all: &Arc<Catalogs>| !all.contains_key(DB);
    let early = timeout(forget_after * 3, rig.catalogs.wait_for(gone)).await.is_ok();
    assert!(!early, "one user is left");
    rig.signals.send(Signal::Left(DB.into())).unwrap();
    drop(timeout(PATIENCE, rig.catalogs.wait_for(gone)).await.unwrap().unwrap());
    assert!(rig.catalogs.borrow().contains_key("postgres"));
    rig.signals.send(Signal::Database(DB.into())).unwrap();
    newer(&mut rig, DB, Some(first)).await;
    assert!(rig.log().contains("nobody uses the database any more"), "{}", rig.log());
}

#[tokio::test]
async fn a_database_that_is_made_after_its_first_client_came_is_found_by_the_next_one() {
    let cluster = Cluster::builder().start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    rig.signals.send(Signal::Database("late".into())).unwrap();
    rig.signals.send(Signal::Database(DB.into())).unwrap();
    newer(&mut rig, DB, None).await;
    cluster.primary().psql("CREATE DATABASE late").unwrap();
    rig.signals.send(Signal::Database("late".into())).unwrap();
    newer(&mut rig, "late", None).await;
}

#[tokio::test]
async fn a_missing_privilege_is_named_and_the_catalog_comes_once_it_is_granted() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.primary().psql("REVOKE CONNECT ON DATABASE app FROM public").unwrap();
    let mut rig = Plan::of(&cluster).start();
    rig.signals.send(Signal::Database(DB.into())).unwrap();
    rig.signals.send(Signal::Database("postgres".into())).unwrap();
    newer(&mut rig, "postgres", None).await;
    cluster.primary().psql("GRANT CONNECT ON DATABASE app TO weir_monitor").unwrap();
    newer(&mut rig, DB, None).await;
    let log = rig.log();
    assert!(
        log.contains("permission denied for database \"app\"") && log.contains("CONNECT"),
        "{log}"
    );
}
