//! Stands in front of a server and answers the benchmark's statement itself.
//!
//! Logins and everything that is not known go through to the server, so that a
//! proxy before it finds a real node; the known statement costs no more than a
//! read and a write.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_bench::measure::query::{Asking, known, names_known};

/// Answers one statement, relays the rest, and prints where it listens.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server.
    #[arg(long)]
    to: SocketAddr,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            drop(writeln!(std::io::stderr(), "answers: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Two threads that share a listener: two workers are not to wait for one.
fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let listener = std::net::TcpListener::bind(args.listen)?;
    listener.set_nonblocking(true)?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let (to, other) = (args.to, listener.try_clone()?);
    std::thread::spawn(move || serve(other, to));
    serve(listener, to).map_err(Into::into)
}

fn serve(listener: std::net::TcpListener, to: SocketAddr) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(async move {
                // Whoever asked notices that the connection is gone.
                let _ended = Line::join(client, to).await;
            });
        }
    })
}

/// A connection and the server's behind it.
struct Line {
    client: TcpStream,
    server: TcpStream,
    /// What the client sent and neither of us has answered or passed on.
    inbox: Vec<u8>,
    state: State,
    simple: Vec<u8>,
    prepared: Vec<u8>,
}

/// What is known of the conversation.
#[derive(Default)]
struct State {
    /// The server has said that it is ready, once.
    greeted: bool,
    /// The names of the known statement.
    statements: Vec<Vec<u8>>,
    /// Cycles that the server has yet to answer.
    owed: usize,
    reply: weir_bench::measure::reply::Reply,
}

impl Line {
    async fn join(client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
        let server = TcpStream::connect(to).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (simple, prepared) = (canned(Asking::Simple), canned(Asking::Prepared));
        let (inbox, state) = (Vec::new(), State::default());
        Self { client, server, inbox, state, simple, prepared }.run().await
    }

    async fn run(mut self) -> std::io::Result<()> {
        let mut chunk = vec![0_u8; 16_384];
        loop {
            tokio::select! {
                biased;
                ready = self.client.readable() => {
                    ready?;
                    match self.client.try_read_buf(&mut self.inbox) {
                        Ok(0) => return Ok(()),
                        Ok(_) => self.hear_client().await?,
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                count = self.server.read(&mut chunk) => {
                    let bytes = match count? {
                        0 => return Ok(()),
                        count => chunk.get(..count).unwrap_or_default(),
                    };
                    self.state.hear_server(bytes);
                    self.client.write_all(bytes).await?;
                }
            }
        }
    }

    async fn hear_client(&mut self) -> std::io::Result<()> {
        if self.state.greeted && self.state.owed == 0 {
            let asked = known(&self.inbox, &self.state.statements);
            if let Some(asked) = asked {
                self.inbox.clear();
                let answer = match asked {
                    Asking::Simple => &self.simple,
                    Asking::Prepared => &self.prepared,
                };
                return self.client.write_all(answer).await;
            }
        }
        let length =
            if self.state.greeted { self.state.pass(&self.inbox) } else { self.inbox.len() };
        self.server.write_all(self.inbox.get(..length).unwrap_or_default()).await?;
        self.inbox.drain(..length);
        Ok(())
    }
}

impl State {
    /// Notes what whole messages mean; how many bytes those are.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            self.statements.extend(names_known(&frame));
            if matches!(frame.tag, wire::ftag::QUERY | wire::ftag::SYNC) {
                self.owed = self.owed.saturating_add(1);
            }
            rest = after;
        }
        bytes.len().saturating_sub(rest.len())
    }

    fn hear_server(&mut self, bytes: &[u8]) {
        // Errors are the client's to read; the server's stream is not judged here.
        let ready = self.reply.count(bytes);
        if self.greeted {
            self.owed = self.owed.saturating_sub(ready);
        } else {
            self.greeted = ready > 0;
        }
    }
}

/// What the server would say to the known statement.
fn canned(asking: Asking) -> Vec<u8> {
    let mut out = Vec::new();
    match asking {
        Asking::Simple => wire::put_row_description(&mut out, &["abalance"]),
        Asking::Prepared => wire::put_bind_complete(&mut out),
    }
    wire::put_data_row(&mut out, &[Some(b"0")]);
    wire::put_command_complete(&mut out, "SELECT 1");
    wire::put_ready(&mut out, wire::TxStatus::Idle);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_ready(&mut out, wire::TxStatus::Idle);
        out
    }

    #[test]
    fn nothing_is_answered_before_the_server_has_answered_what_it_was_passed() {
        let mut state = State::default();
        state.hear_server(&ready());
        assert!(state.greeted && state.owed == 0);
        let query = weir_bench::measure::query::simple("SELECT 1");
        assert_eq!(state.pass(&[query.clone(), query.clone()].concat()), query.len() * 2);
        assert_eq!(state.owed, 2);
        state.hear_server(&ready());
        assert_eq!(state.owed, 1);
    }

    #[test]
    fn half_a_message_waits_for_the_rest() {
        let mut state = State { greeted: true, ..State::default() };
        let query = weir_bench::measure::query::simple("SELECT 1");
        assert_eq!(state.pass(&query[..query.len() - 1]), 0);
        assert_eq!(state.owed, 0);
    }

    #[test]
    fn the_name_of_the_known_statement_is_learned() {
        let mut state = State { greeted: true, ..State::default() };
        state.pass(&Asking::Prepared.beginning());
        assert_eq!(state.statements, [b"account".to_vec()]);
    }

    #[test]
    fn an_error_of_the_server_is_an_answer_too() {
        let mut state = State { greeted: true, owed: 1, ..State::default() };
        let mut out = Vec::new();
        let code = wire::SqlState::parse(b"42P01").unwrap();
        wire::put_error(
            &mut out,
            &wire::Report {
                severity: wire::Severity::Error,
                code,
                message: "no",
                detail: None,
                hint: None,
                routine: None,
            },
        );
        out.extend(ready());
        state.hear_server(&out);
        assert_eq!(state.owed, 0);
    }
}
