//! The API over a real loopback socket, with a topology made by hand.

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod host;

use host::{Host, TOKEN};
use policy::cluster::MembershipError;
use policy::{Gate, Health, Role};
use serde_json::json;

#[tokio::test]
async fn health_and_metrics_are_open_and_v1_wants_the_token() {
    let host = Host::start().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(host.call("GET", path, None, None).await.status, 200, "{path}");
    }
    let refused = host.call("GET", "/v1/clusters", None, None).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.problem()["status"], 401);
    assert_eq!(host.call("GET", "/v1/clusters", Some("wrong"), None).await.status, 401);
    assert_eq!(host.call("GET", "/v1/clusters", Some(TOKEN), None).await.status, 200);
}

#[tokio::test]
async fn unready_says_what_is_missing() {
    let host = Host::start().await;
    host.accepting.send_replace(false);
    let answer = host.call("GET", "/readyz", None, None).await;
    assert_eq!(answer.status, 503);
    assert!(answer.problem()["detail"].as_str().unwrap().contains("takes no clients"));
    host.accepting.send_replace(true);
    host.topology.send_modify(|topology| {
        let unseen = std::sync::Arc::make_mut(topology);
        unseen.nodes.clear();
    });
    let answer = host.call("GET", "/readyz", None, None).await;
    assert_eq!(answer.status, 503);
    assert!(answer.problem()["detail"].as_str().unwrap().contains("cluster main"));
    assert_eq!(host.call("GET", "/livez", None, None).await.status, 200);
}

#[tokio::test]
async fn a_node_that_was_seen_once_or_is_up_is_enough_to_be_ready() {
    let host = Host::start().await;
    let only = |role, health| {
        host.topology.send_modify(|topology| {
            let nodes = &mut std::sync::Arc::make_mut(topology).nodes;
            nodes.truncate(1);
            (nodes[0].role, nodes[0].health) = (role, health);
        });
    };
    for (role, health, status) in [
        (Role::Primary, Health::Down, 200),
        (Role::Unknown, Health::Up, 200),
        (Role::Unknown, Health::Down, 503),
    ] {
        only(role, health);
        let answer = host.call("GET", "/readyz", None, None).await;
        assert_eq!(answer.status, status, "{role:?} {health:?}");
    }
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let host = Host::start().await;
    let cases = [
        ("GET", "/nowhere", None, 404),
        ("GET", "/v1/clusters/none", None, 404),
        ("GET", "/v1/clusters/main/nodes/none", None, 404),
        ("GET", "/v1/clusters/%ff", None, 400),
        ("DELETE", "/v1/clusters", None, 405),
        ("POST", "/v1/clusters/main/nodes/a:explode", None, 404),
        ("POST", "/v1/explain", None, 415),
        ("POST", "/v1/explain", Some("{"), 400),
        ("POST", "/v1/explain", Some("{\"database\":\"shop\"}"), 422),
        ("POST", "/v1/explain", Some("{\"database\":\"shop\",\"sql\":\"\",\"zebra\":1}"), 422),
        ("POST", "/v1/explain", Some("{\"database\":\"none\",\"sql\":\"\"}"), 404),
        (
            "POST",
            "/v1/explain",
            Some("{\"database\":\"shop\",\"sql\":\"\",\"consistency\":\"x\"}"),
            422,
        ),
        ("POST", "/v1/clusters/main/nodes", Some("{\"name\":\"a:b\",\"host\":\"h\"}"), 422),
        (
            "POST",
            "/v1/clusters/main/nodes",
            Some("{\"name\":\"x\",\"host\":\"h\",\"port\":0}"),
            422,
        ),
    ];
    for (method, path, body, status) in cases {
        let answer = host.call(method, path, Some(TOKEN), body).await;
        assert_eq!(answer.status, status, "{method} {path} {body:?}: {}", answer.body);
        assert_eq!(answer.problem()["status"], status, "{method} {path} {body:?}");
    }
    let allowed = host.call("DELETE", "/v1/clusters", Some(TOKEN), None).await;
    assert_eq!(allowed.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let host = Host::start().await;
    let body = format!("{{\"database\":\"shop\",\"sql\":\"{}\"}}", "x".repeat(300 * 1024));
    let answer = host.call("POST", "/v1/explain", Some(TOKEN), Some(&body)).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert_eq!(answer.problem()["status"], 413);
}

#[tokio::test]
async fn a_cluster_shows_its_nodes_with_lag_or_null() {
    let host = Host::start().await;
    let cluster = host.call("GET", "/v1/clusters/main", Some(TOKEN), None).await.json();
    assert_eq!(cluster["primary"], "a");
    assert_eq!(cluster["leader"], "elected");
    assert_eq!(cluster["nodes"][1]["role"], "replica");
    assert!(cluster["nodes"][1]["lag_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(cluster["nodes"][2]["lag_seconds"], json!(null), "never measured is not zero");
}

#[tokio::test]
async fn membership_changes_go_to_control_and_its_refusals_come_back() {
    let host = Host::start().await;
    let new = r#"{"name":"d","host":"10.0.0.4","weight":2}"#;
    let added = host.call("POST", "/v1/clusters/main/nodes", Some(TOKEN), Some(new)).await;
    assert_eq!(added.status, 201, "{}", added.body);
    assert_eq!(added.header("location"), Some("/v1/clusters/main/nodes/d"));
    assert_eq!(added.json()["port"], 5432);
    let again = host.call("POST", "/v1/clusters/main/nodes", Some(TOKEN), Some(new)).await;
    assert_eq!((again.status, &again.problem()["status"]), (409, &json!(409)));
    let drained = host.call("POST", "/v1/clusters/main/nodes/d:drain", Some(TOKEN), None).await;
    assert_eq!((drained.status, &drained.json()["gate"]), (200, &json!("draining")));
    let resumed = host.call("POST", "/v1/clusters/main/nodes/d:resume", Some(TOKEN), None).await;
    assert_eq!(resumed.json()["gate"], "open");
    let change = r#"{"weight":5,"gate":"draining"}"#;
    let patched = host.call("PATCH", "/v1/clusters/main/nodes/d", Some(TOKEN), Some(change)).await;
    assert_eq!(patched.json()["weight"], 5);
    assert_eq!(patched.json()["gate"], "draining");
    let gone = host.call("DELETE", "/v1/clusters/main/nodes/d", Some(TOKEN), None).await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    let primary = host.call("DELETE", "/v1/clusters/main/nodes/a", Some(TOKEN), None).await;
    assert_eq!(primary.status, 409);
    assert_eq!(primary.problem()["detail"], MembershipError::IsPrimary.to_string());
}

#[tokio::test]
async fn without_a_token_web_pages_are_kept_out() {
    let host = Host::start_open().await;
    assert_eq!(host.call("GET", "/v1/clusters", None, None).await.status, 200);
    let page = [("Origin", "http://evil.example")];
    let answer = host.call_with("POST", "/v1/clusters/main/nodes/b:drain", &page, None).await;
    assert_eq!(answer.status, 403);
    assert_eq!(host.topology.borrow().nodes[1].gate, Gate::Open);
}

#[tokio::test]
async fn explain_says_where_and_why_for_every_node() {
    let host = Host::start().await;
    let explained =
        host.explain(json!({ "database": "shop", "sql": "insert into t values (1)" })).await;
    assert_eq!((&explained["target"], &explained["node"]), (&json!("primary"), &json!("a")));
    assert_eq!((&explained["reason"], &explained["class"]), (&json!("write"), &json!("write")));
    assert_eq!(explained["catalog"], true);
    let candidates = explained["candidates"].as_array().unwrap();
    let against: Vec<&str> =
        candidates.iter().map(|one| one["eligibility"].as_str().unwrap()).collect();
    assert_eq!(against, ["is_primary", "eligible", "lag_unknown"]);
    assert_eq!(candidates[2]["lag_seconds"], json!(null));
}

#[tokio::test]
async fn a_session_pool_sends_everything_to_the_primary() {
    let host = Host::start().await;
    let explained = host.explain(json!({ "database": "legacy", "sql": "select 1" })).await;
    assert_eq!(explained["target"], "primary");
    assert_eq!(explained["reason"], "session_pool");
}

#[tokio::test]
async fn a_setting_of_the_session_and_a_hint_name_the_route() {
    let host = Host::start().await;
    let wished =
        json!({ "database": "shop", "sql": "select 1", "settings": { "weir.route": "primary" } });
    assert_eq!(host.explain(wished).await["reason"], "setting");
    let hinted = json!({ "database": "shop", "sql": "/* weir: route=primary */ select 1" });
    assert_eq!(host.explain(hinted).await["reason"], "hint");
    let passed = json!({ "database": "shop", "sql": "/* weir: min_lsn=7:1:0/100 */ select 1" });
    let explained = host.explain(passed).await;
    assert_eq!((&explained["target"], &explained["fence"]), (&json!("replica"), &json!("1/0/100")));
    let elsewhere = [
        ("7:1:0/101", "primary"),
        // Of a timeline whose primary is not known here.
        ("7:2:0/1", "wait"),
        ("8:1:0/1", "primary"),
        ("altered", "primary"),
    ];
    for (token, target) in elsewhere {
        let hint = format!("/* weir: min_lsn={token} */ select 1");
        let explained = host.explain(json!({ "database": "shop", "sql": hint })).await;
        assert_eq!(explained["target"], target, "{token}");
    }
    let wrong = json!({ "database": "shop", "sql": "/* weir: route=nowhere */ select 1" });
    assert_eq!(host.explain(wrong).await["target"], "primary");
}

#[tokio::test]
async fn weir_answers_for_its_own_settings_unless_more_is_asked() {
    let host = Host::start().await;
    let own = json!({ "database": "shop", "sql": "set weir.route = 'primary'" });
    let explained = host.explain(own).await;
    assert_eq!((&explained["target"], &explained["reason"]), (&json!("weir"), &json!("local")));
    assert_eq!(explained["effects"], json!(["set weir.route"]));
    let more = json!({ "database": "shop", "sql": "set weir.route = 'primary'; select 1" });
    assert_ne!(host.explain(more).await["target"], "weir");
    let other = json!({ "database": "shop", "sql": "set work_mem = '1MB'" });
    assert_ne!(host.explain(other).await["target"], "weir");
}

#[tokio::test]
async fn advice_names_what_promises_less_than_one_may_think() {
    let host = Host::start().await;
    let answer = host.call("GET", "/v1/advice", Some(TOKEN), None).await;
    let advice = answer.json();
    let shown = |entry: &serde_json::Value| {
        assert_eq!(entry["cluster"], "main");
        assert!(entry["text"].as_str().is_some_and(|text| text.len() > 60), "{entry}");
        let word = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        (word("code"), word("node"))
    };
    let shown: Vec<_> = advice.as_array().unwrap().iter().map(shown).collect();
    let shown: Vec<_> = shown.iter().map(|(code, node)| (&**code, &**node)).collect();
    // Of a node that never answered nothing is said, nor of a primary what only a standby has.
    let expected = [
        ("synchronous_standbys", "a"),
        ("asynchronous_commit", "a"),
        ("unreadable_timeline", "b"),
        ("max_lag_off", "-"),
    ];
    assert_eq!(shown, expected);
    assert!(advice[3]["text"].as_str().unwrap().contains("databases.legacy"), "{}", advice[3]);
}

#[tokio::test]
async fn promtool_accepts_the_metrics() {
    let host = Host::start().await;
    let text = host.call("GET", "/metrics", None, None).await.body;
    assert!(text.contains("weir_node_up{cluster=\"main\",node=\"a\"} 1\n"), "{text}");
    assert!(text.contains("weir_node_draining{cluster=\"main\",node=\"a\"} 0\n"), "{text}");
    assert!(!text.contains("weir_node_lag_seconds{cluster=\"main\",node=\"c\"}"), "{text}");
    assert!(text.contains("weir_lsn_queries_total{cluster=\"main\"} 1\n"), "{text}");
    assert!(text.contains("weir_lsn_query_seconds{cluster=\"main\"} 0.002\n"), "{text}");
    host::promtool(&text);
}
