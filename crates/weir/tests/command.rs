//! The command as people and supervisors use it; no Postgres is needed.

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod weir_process;

use std::net::TcpListener;
use std::process::Command;

use weir_process::{Folder, Weir, weir};

const FILE: &str = "
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
auth: { method: trust }
clusters: { main: { nodes: [{ name: a, host: 127.0.0.1, port: 1 }] } }
log: { format: json }
";

#[test]
fn check_prints_every_mistake_and_fails() {
    let folder = Folder::new("check");
    let file = folder.write("c.yaml", "listen: x\nworkerz: 1\n");
    let output = weir().args(["check", "-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for mistake in
        ["listen: expected", "workerz: unknown key; did you mean workers?", "clusters: is required"]
    {
        assert!(said.contains(mistake), "{mistake} in {said}");
    }
}

#[test]
fn check_sums_up_what_is_right() {
    let folder = Folder::new("sum");
    let file = folder.write("c.yaml", FILE);
    let output = weir().args(["check", "-c"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("ok: listen 127.0.0.1:0"));
}

#[test]
fn the_configuration_of_the_repository_is_right() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.yaml");
    let output = weir().args(["check", "-c", file]).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn explain_says_that_the_cluster_is_not_reachable() {
    let folder = Folder::new("explain");
    let file = folder.write("c.yaml", FILE);
    let output =
        weir().args(["explain", "--wait", "1", "select 1", "-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("cluster main is not reachable") && said.contains("a at 127.0.0.1:1"),
        "{said}"
    );
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_its_name() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::new("taken");
    let file = folder.write("c.yaml", &FILE.replacen("127.0.0.1:0", &address.to_string(), 1));
    let output = weir().args(["serve", "-c"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("can't listen on {address}")), "{said}");
}

#[test]
fn a_reload_with_mistakes_changes_nothing_and_one_without_is_told() {
    let folder = Folder::new("reload");
    let file = folder.write("c.yaml", FILE);
    let mut weir = Weir::serve(&file, &folder.path("ports"));
    folder.write("c.yaml", "listen: x");
    weir.signal("HUP");
    let refused = weir.line_with("reload refused");
    assert!(refused.contains("listen: expected"), "{refused}");
    assert_eq!(weir.get("/livez").0, 200);
    folder
        .write("c.yaml", &FILE.replace("log:", "workers: 3\npool: { default_pool_size: 3 }\nlog:"));
    weir.signal("HUP");
    let told = weir.line_with("\"message\":\"reloaded\"");
    assert!(told.contains("pool") && told.contains("workers"), "{told}");
    assert_eq!(weir.stop(), Some(0));
}

#[test]
fn a_weir_without_nodes_lives_but_is_not_ready_and_ends_on_a_signal() {
    let folder = Folder::new("unready");
    let file = folder.write("c.yaml", FILE);
    let weir = Weir::serve(&file, &folder.path("ports"));
    assert_eq!(weir.get("/livez").0, 200);
    let (status, body) = weir.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("no node of cluster main"), "{body}");
    let ports = std::fs::read_to_string(folder.path("ports")).unwrap();
    assert!(ports.contains(&format!("\"admin\":{}", weir.admin)), "{ports}");
    assert_eq!(weir.stop(), Some(0));
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).arg("--version").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("weir 0."));
}
