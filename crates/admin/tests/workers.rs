//! `/v1/sessions`, `/v1/pools` and `/v1/statements`, with workers made by hand.

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod host;

use host::{Host, TOKEN, workers};
use serde_json::{Value, json};

async fn get(host: &Host, path: &str) -> Value {
    let answer = host.call("GET", path, Some(TOKEN), None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[cfg(test)]
fn ids(listed: &Value) -> Vec<u64> {
    let sessions = listed["sessions"].as_array().unwrap().iter();
    sessions.map(|session| session["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn sessions_of_all_workers_come_with_the_longest_in_their_state_first() {
    let host = Host::with_workers(workers::two()).await;
    let listed = get(&host, "/v1/sessions").await;
    assert_eq!(ids(&listed), [1, 3, 2]);
    assert_eq!((&listed["matched"], &listed["limit"]), (&json!(3), &json!(100)));
    let want = json!({
        "id": 1, "pid": 7, "user": "app", "database": "shop", "cluster": "main",
        "client": "[::1]:40000", "tls": false, "application_name": "jobs", "mode": "transaction",
        "state": "idle_in_transaction", "state_seconds": 300, "transaction_seconds": 301,
        "connected_seconds": 1_000, "pin": "listen", "node": "a",
        "last_route": { "target": "primary", "node": "a", "reason": "write" },
    });
    assert_eq!(listed["sessions"][0], want);
    for field in ["application_name", "transaction_seconds", "pin", "node", "last_route"] {
        assert_eq!(listed["sessions"][1][field], json!(null), "{field}");
    }
    assert_eq!(get(&host, "/v1/sessions/1").await, want);
}

#[tokio::test]
async fn filters_reach_the_workers_and_what_is_cut_off_is_counted() {
    let host = Host::with_workers(workers::two()).await;
    for (query, want) in [
        ("user=app", vec![1, 3]),
        ("user=app&pinned=false", vec![3]),
        ("pinned=true", vec![1]),
        ("state=idle_in_transaction", vec![1]),
        ("state=waiting_for_server", vec![]),
        ("database=shop", vec![1, 3, 2]),
        ("database=sh%6Fp&user=other", vec![2]),
        ("database=SHOP", vec![]),
        ("limit=1", vec![1]),
        ("limit=1000", vec![1, 3, 2]),
        ("", vec![1, 3, 2]),
    ] {
        let listed = get(&host, &format!("/v1/sessions?{query}")).await;
        assert_eq!(ids(&listed), want, "{query}");
    }
    assert_eq!(get(&host, "/v1/sessions?limit=1").await["matched"], 3);
}

#[tokio::test]
async fn a_pool_is_one_row_over_all_workers_and_waiting_ones_come_first() {
    let host = Host::with_workers(workers::two()).await;
    let listed = get(&host, "/v1/pools").await;
    assert_eq!(listed["matched"], 3);
    let want = json!({
        "cluster": "main", "database": "shop", "user": "app", "node": "a", "active": 2, "idle": 3,
        "opening": 0, "waiting": 2, "longest_wait_seconds": 1.5, "limit": 4, "reserve": 1,
    });
    assert_eq!(listed["pools"][0], want);
    assert_eq!(listed["pools"][1]["user"], "aaa");
    assert_eq!(get(&host, "/v1/pools?user=aaa&limit=1").await["matched"], 1);
    assert_eq!(get(&host, "/v1/pools?node=b").await["pools"], json!([]));
}

#[tokio::test]
async fn statements_are_those_of_all_workers_the_most_run_first() {
    let host = Host::with_workers(workers::two()).await;
    let listed = get(&host, "/v1/statements").await;
    assert_eq!(listed["matched"], 2);
    let refused = json!({ "code": "25006", "times": 2, "believed_for_seconds": 9.0 });
    let first = json!({
        "cluster": "main", "database": "shop", "fingerprint": format!("{:032x}", 0xcd),
        "text": "SELECT lies()", "class": "write", "why": "refused_by_standby", "runs": 10,
        "refused": refused,
    });
    assert_eq!(listed["statements"][0], first);
    assert_eq!(get(&host, "/v1/statements?refused=false").await["statements"][0]["runs"], 6);
    assert_eq!(get(&host, "/v1/statements?why=unparsed").await["matched"], 0);
}

#[tokio::test]
async fn gauges_of_servers_have_labels_that_no_client_can_multiply() {
    let host = Host::with_workers(workers::two()).await;
    let text = host.call("GET", "/metrics", None, None).await.body;
    let place = "cluster=\"main\",node=\"a\",database=\"shop\"";
    for line in [
        format!("weir_servers{{{place},state=\"active\"}} 3\n"),
        format!("weir_servers{{{place},state=\"idle\"}} 3\n"),
        format!("weir_servers{{{place},state=\"opening\"}} 0\n"),
        format!("weir_servers_limit{{{place}}} 8\n"),
        format!("weir_clients_waiting{{{place}}} 2\n"),
        format!("weir_longest_wait_seconds{{{place}}} 1.5\n"),
        "node=\"a\",database=\"*\",state=\"active\"} 1\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(!text.contains("tenant") && !text.contains("aaa"), "{text}");
    host::promtool(&text);
    let host = Host::with_workers(workers::deaf()).await;
    let text = host.call("GET", "/metrics", None, None).await.body;
    assert!(text.contains("weir_node_up") && !text.contains("weir_servers"), "{text}");
}

#[tokio::test]
async fn a_session_is_ended_by_its_id_once() {
    let host = Host::with_workers(workers::two()).await;
    let ended = host.call("DELETE", "/v1/sessions/2", Some(TOKEN), None).await;
    assert_eq!((ended.status, ended.body.as_str()), (204, ""));
    let again = host.call("DELETE", "/v1/sessions/2", Some(TOKEN), None).await;
    assert_eq!((again.status, &again.problem()["status"]), (404, &json!(404)));
    assert_eq!(ids(&get(&host, "/v1/sessions").await), [1, 3]);
}

#[tokio::test]
async fn what_makes_no_sense_is_a_problem_that_says_what_would() {
    let host = Host::with_workers(workers::two()).await;
    for (method, path, status, word) in [
        ("GET", "/v1/sessions?zebra=1", 400, "`pinned`"),
        ("GET", "/v1/sessions?limit=0", 400, "from 1 to 1000"),
        ("GET", "/v1/sessions?limit=1001", 400, "from 1 to 1000"),
        ("GET", "/v1/sessions?limit=-1", 400, "limit"),
        ("GET", "/v1/sessions?limit=ten", 400, "limit"),
        ("GET", "/v1/sessions?limit=", 400, "limit"),
        ("GET", "/v1/sessions?limit=18446744073709551616", 400, "limit"),
        ("GET", "/v1/sessions?pinned=yes", 400, "true"),
        ("GET", "/v1/sessions?state=asleep", 400, "waiting_for_server"),
        ("GET", "/v1/sessions?user=a&user=b", 400, "user"),
        ("GET", "/v1/pools?state=idle", 400, "`node`"),
        ("GET", "/v1/statements?reason=x", 400, "`why`"),
        ("GET", "/v1/pools?limit=0", 400, "from 1 to 1000"),
        ("GET", "/v1/sessions/99", 404, "GET /v1/sessions"),
        ("GET", "/v1/sessions/x", 404, "GET /v1/sessions"),
        ("DELETE", "/v1/sessions/99", 404, "GET /v1/sessions"),
        ("DELETE", "/v1/sessions/-1", 404, "GET /v1/sessions"),
        ("DELETE", "/v1/sessions", 405, "Allow"),
        ("POST", "/v1/sessions/1", 405, "Allow"),
        ("DELETE", "/v1/pools", 405, "Allow"),
    ] {
        let answer = host.call(method, path, Some(TOKEN), None).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(word), "{method} {path}: {detail}");
    }
    for path in ["/v1/sessions", "/v1/sessions/1", "/v1/pools", "/v1/statements"] {
        assert_eq!(host.call("GET", path, None, None).await.status, 401, "{path}");
        assert_eq!(host.call("DELETE", path, Some("wrong"), None).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_worker_that_is_silent_makes_no_half_truth_and_one_that_ended_none_at_all() {
    let host = Host::with_workers(workers::deaf()).await;
    let answer = host.call("GET", "/v1/sessions", Some(TOKEN), None).await;
    assert_eq!(answer.status, 503);
    let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("worker 0 did not answer within 2 s"), "{detail}");
    let host = Host::with_workers(workers::ended()).await;
    assert_eq!(get(&host, "/v1/sessions").await["matched"], 0);
    assert_eq!(get(&host, "/v1/pools").await["pools"], json!([]));
}
