//! A weir process that ends with its test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

pub(crate) fn weir() -> Command {
    Command::new(env!("CARGO_BIN_EXE_weir"))
}

/// A folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// `weir serve`, listening.
pub(crate) struct Weir {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) admin: u16,
}

impl Weir {
    /// Starts it and reads its log until it listens.
    pub(crate) fn serve(config: &Path, ports: &Path) -> Self {
        let mut serve = weir();
        serve
            .args(["serve", "-c"])
            .arg(config)
            .arg("--ports-file")
            .arg(ports)
            .stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut weir = Self { child, log, admin: 0 };
        let line = weir.line_with("listening on");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["admin"].as_str().unwrap();
        weir.admin = address.rsplit_once(':').unwrap().1.parse().unwrap();
        weir
    }

    /// The next log line that holds `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the log ended before {text:?}");
        }
        line
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Asks it to end; gives the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    /// Status and body of a GET at the admin API.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
