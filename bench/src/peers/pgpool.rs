//! Pgpool-II: splits reads and writes in streaming replication mode, one process per client.
//!
//! The primary has weight 0, so that reads go to the replicas, as with Weir.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::Cluster;

use super::{Name, Peer, Stage, free_port, said, unprivileged};
use crate::machine;
use crate::weir::text;

/// Not in everybody's search path.
const PROGRAM: &str = "/usr/sbin/pgpool";

/// Processes, and so clients at the same time; more of them wait.
const CHILDREN: u16 = 64;

impl Stage<'_> {
    pub(super) fn pgpool(self) -> Result<Peer, String> {
        let version = machine::says(&[PROGRAM, "--version"])
            .ok_or_else(|| format!("{PROGRAM} is not installed (make bench-deps)"))?;
        let (port, pcp) = (free_port()?, free_port()?);
        let own = own_folder(self.host.folder)?;
        let [conf, hba, passwords] =
            ["pgpool.conf", "pool_hba.conf", "pcp.conf"].map(|name| own.join(name));
        fs::write(&conf, settings(self.cluster, (port, pcp), text(&own)?)).map_err(said)?;
        fs::write(&hba, "").map_err(said)?;
        fs::write(&passwords, "").map_err(said)?;
        let words = [PROGRAM, "-n", "-f", text(&conf)?, "-a", text(&hba)?, "-F", text(&passwords)?];
        let service = self.host.start_family("pgpool", unprivileged(), &words).map_err(said)?;
        Ok(Peer::new(Name::Pgpool, version, port, service))
    }
}

/// A folder that any user may write to: it keeps its sockets and its process number there.
fn own_folder(scratch: &Path) -> Result<PathBuf, String> {
    let folder = scratch.join("pgpool");
    fs::create_dir(&folder).map_err(said)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).map_err(said)?;
    Ok(folder)
}

fn settings(cluster: &Cluster, (port, pcp): (u16, u16), folder: &str) -> String {
    let mut text = format!(
        "\
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {port}
socket_dir = '{folder}'
pcp_listen_addresses = '127.0.0.1'
pcp_port = {pcp}
pcp_socket_dir = '{folder}'
pid_file_name = '{folder}/pgpool.pid'
logdir = '{folder}'
pool_passwd = ''
num_init_children = {CHILDREN}
load_balance_mode = on
sr_check_period = 10
sr_check_user = 'weir_monitor'
sr_check_password = 'weir_monitor'
delay_threshold = 10000000
health_check_period = 10
health_check_user = 'weir_monitor'
health_check_password = 'weir_monitor'
"
    );
    for (index, node) in cluster.nodes().iter().enumerate() {
        let weight = u8::from(node.name() != cluster.primary().name());
        // Writing to a String can't fail.
        let _infallible = write!(
            text,
            "\
backend_hostname{index} = '{}'
backend_port{index} = {}
backend_weight{index} = {weight}
backend_flag{index} = 'ALLOW_TO_FAILOVER'
",
            node.host(),
            node.port(),
        );
    }
    text
}
