//! A bare TCP relay on one thread: the floor under every proxy's cost.
//!
//! It copies bytes both ways and knows no protocol. What a proxy costs above
//! this is the price of what it does; what the relay costs nobody can save.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// Bytes per direction: the size of the server's own socket buffers.
const BUFFER: usize = 8 * 1024;

/// Relays TCP connections to one address and prints where it listens.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to connect for each client.
    #[arg(long)]
    to: SocketAddr,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            drop(writeln!(std::io::stderr(), "relay: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(relay(client, args.to));
        }
    })
}

/// Serves one client to its end; a lost peer ends only this connection.
async fn relay(mut client: TcpStream, to: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    // pgbench counts and reports what a broken connection costs it.
    let _ended = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await;
}
