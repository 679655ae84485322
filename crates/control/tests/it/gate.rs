//! A forwarder in front of one node that can hold back what the node says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use policy::cluster::NodeSpec;
use testkit::Node;

/// The way to one node; open at first.
///
/// Its threads end with the connections, those with control and the server.
pub(crate) struct Gate {
    port: u16,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// A gate in front of `node`.
    pub(crate) fn new(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let held: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let (server, state) = ((node.host(), node.port()), Arc::clone(&held));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || forward(from, to, || ()));
                let state = Arc::clone(&state);
                thread::spawn(move || forward(server, client, || wait_until_open(&state)));
            }
        });
        Self { port, held }
    }

    /// How the configuration names the node behind the gate.
    pub(crate) fn spec(&self, node: &Node) -> NodeSpec {
        NodeSpec { port: self.port, ..crate::rig::spec(node) }
    }

    /// From now on the node's answers stay here; questions still reach it.
    pub(crate) fn hold(&self) {
        *self.held.0.lock().unwrap() = true;
    }

    /// Lets out what was held back.
    pub(crate) fn open(&self) {
        *self.held.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.held.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

fn wait_until_open((held, changed): &(Mutex<bool>, Condvar)) {
    drop(changed.wait_while(held.lock().unwrap(), |held| *held).unwrap());
}

fn forward(mut from: TcpStream, mut to: TcpStream, pass: impl Fn()) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        pass();
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    pass();
    drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
}
