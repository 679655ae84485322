//! What a test does to a node: start, stop, kill, freeze, pause, cut off, promote, follow, rejoin.

use std::fs::{self, File};
use std::time::Duration;

use crate::conf::Upstream;
use crate::error::{At, Error};
use crate::node::Node;
use crate::reaper;
use crate::user::finish;
use crate::wait::{PATIENCE, until};

/// How a server is asked to stop ("Shutting Down the Server").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Clients are thrown out, data is written, standbys get the last WAL.
    Fast,
    /// Everything ends at once; the next start recovers as after a crash.
    Immediate,
}

impl Node {
    /// Starts the server and waits until it takes connections.
    ///
    /// Does nothing when it runs already.
    ///
    /// # Errors
    ///
    /// [`Error::NotStarted`] with the end of its log.
    pub fn start(&self) -> Result<(), Error> {
        self.start_with(&[])
    }

    /// Starts the server with variables in its environment, for this time.
    fn start_with(&self, environment: &[(&str, String)]) -> Result<(), Error> {
        if self.is_running() {
            return Ok(());
        }
        let (site, data) = (&self.0.site, self.data_folder());
        let log = self.folder().join("log");
        let output = File::options().append(true).create(true).open(&log).at(&log)?;
        // A pid file of a killed server would pass for the new one's.
        drop(fs::remove_file(data.join("postmaster.pid")));
        let program = site.binaries.program("postgres");
        let mut postgres = site.user.command(&program, &data);
        postgres.arg("-D").arg(&data).stdout(output.try_clone().at(&log)?).stderr(output);
        postgres.envs(environment.iter().map(|(name, value)| (name, value)));
        *self.server() = Some(postgres.spawn().at(&program)?);
        until(PATIENCE, || self.readiness())?.ok_or_else(|| self.timeout("a start"))
    }

    /// The eighth line of the pid file says when connections are taken.
    fn readiness(&self) -> Result<Option<()>, Error> {
        if !self.is_running() {
            return Err(Error::NotStarted { node: self.name().to_owned(), log: self.log_end() });
        }
        let pid_file = fs::read_to_string(self.data_folder().join("postmaster.pid"));
        let ready = pid_file.is_ok_and(|text| text.lines().nth(7).map(str::trim) == Some("ready"));
        Ok(ready.then_some(()))
    }

    /// Stops the server as asked and waits for its end.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when it does not run or does not stop.
    pub fn stop(&self, how: Stop) -> Result<(), Error> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.pg_ctl(&["stop", "-w", "-m", mode])?;
        self.bury()
    }

    /// Kills the server and all its processes by SIGKILL, at once.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Command`] when processes cannot be listed.
    pub fn kill(&self) -> Result<(), Error> {
        // The parent first, by its handle: backends notice and go.
        if let Some(child) = self.server().as_mut() {
            drop(child.kill());
        }
        reaper::kill(self.folder(), &self.0.site.user)?;
        self.bury()
    }

    /// Stops and starts the server; data stays.
    ///
    /// # Errors
    ///
    /// As [`Node::stop`] and [`Node::start`].
    pub fn restart(&self) -> Result<(), Error> {
        self.restart_with(&[])
    }

    /// The same with variables in the server's environment, until its next start.
    ///
    /// # Errors
    ///
    /// As [`Node::stop`] and [`Node::start`].
    pub fn restart_with(&self, environment: &[(&str, String)]) -> Result<(), Error> {
        self.stop(Stop::Fast)?;
        self.start_with(environment)
    }

    /// Halts all processes of the server, as if the machine hung: connections stay, nobody answers.
    ///
    /// New connections are taken by the system and lie there. [`Node::psql`] waits as well.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Command`] when processes cannot be listed.
    pub fn freeze(&self) -> Result<(), Error> {
        reaper::freeze(self.folder(), &self.0.site.user)
    }

    /// Lets a frozen server go on where it was.
    ///
    /// # Errors
    ///
    /// As [`Node::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        reaper::thaw(self.folder(), &self.0.site.user)
    }

    /// Stops replay; returns once nothing more is replayed.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the node is no running standby.
    pub fn pause_replay(&self) -> Result<(), Error> {
        self.psql("SELECT pg_wal_replay_pause()")?;
        // Requested is not paused: one more record may be under way.
        self.wait_for("SELECT pg_get_wal_replay_pause_state()", "paused", "a pause of replay")
    }

    /// Lets replay go on.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the node is no running standby.
    pub fn resume_replay(&self) -> Result<(), Error> {
        self.psql("SELECT pg_wal_replay_resume()").map(drop)
    }

    /// Replays commits only when they are this old by the primary's clock; zero for at once.
    ///
    /// What the startup process meets before it has read its new configuration is not delayed.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the node is not running.
    pub fn delay_replay(&self, delay: Duration) -> Result<(), Error> {
        let millis = delay.as_millis();
        self.psql(&format!("ALTER SYSTEM SET recovery_min_apply_delay = '{millis}ms'"))?;
        self.reload()
    }

    /// Ends the standby's receiver for good: it keeps what it has received, and gets no more.
    ///
    /// [`Node::follow`] connects it again.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the node is not running.
    pub fn cut_off(&self) -> Result<(), Error> {
        self.receive_from(Upstream::Nowhere)
    }

    /// Makes the standby read WAL from the archive only, segment by segment, without a receiver.
    ///
    /// The cluster must have been built with [`Builder::archive`](crate::Builder::archive).
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the node is not running.
    pub fn restore_from_archive(&self) -> Result<(), Error> {
        self.receive_from(Upstream::Archive)
    }

    fn receive_from(&self, upstream: Upstream) -> Result<(), Error> {
        self.set_upstream(upstream);
        self.configure()?;
        self.reload()?;
        self.wait_for("SELECT count(*) FROM pg_stat_wal_receiver", "0", "the end of its receiver")
    }

    /// Makes the standby a primary and waits until it takes writes.
    ///
    /// The cluster's `primary()` is this node from now on; an old primary
    /// that still runs is not touched.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when it is no running standby.
    pub fn promote(&self) -> Result<(), Error> {
        self.psql("SELECT pg_promote(true, 60)")?;
        self.wait_for("SELECT pg_is_in_recovery()", "f", "the end of recovery")?;
        self.0.site.with_members(|members| self.name().clone_into(&mut members.primary));
        Ok(())
    }

    /// Makes this standby stream from `other` (a primary or a standby).
    ///
    /// A stopped node is started. The histories must fit: a former primary
    /// that has written since needs [`Node::rejoin`].
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when it does not stream from there.
    pub fn follow(&self, other: &Node) -> Result<(), Error> {
        if self.is_running() && !self.is_in_recovery()? {
            self.stop(Stop::Fast)?;
        }
        self.become_standby_of(other)?;
        if self.is_running() {
            self.reload()?;
        } else {
            self.start()?;
        }
        self.wait_streaming(other)
    }

    /// Throws this node's data away and returns it as a standby of `primary`.
    ///
    /// A fresh copy, not `pg_rewind`: that needs WAL which may be gone, and
    /// here copying is as fast.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] of `pg_basebackup`, or [`Error::Timeout`].
    pub fn rejoin(&self, primary: &Node) -> Result<(), Error> {
        self.kill()?;
        let data = self.data_folder();
        if data.exists() {
            fs::remove_dir_all(&data).at(&data)?;
        }
        self.clone_from(primary)
    }

    /// Copies a running server's data and starts as its standby.
    pub(crate) fn clone_from(&self, source: &Node) -> Result<(), Error> {
        let site = &self.0.site;
        let mut backup = site.user.command(site.binaries.program("pg_basebackup"), self.folder());
        backup.args(["-h", source.host(), "-U", "replicator", "-X", "stream", "-c", "fast"]);
        backup.args(["--no-sync", "--no-manifest", "-D"]).arg(self.data_folder());
        finish(backup.arg("-p").arg(source.port().to_string()))?;
        self.become_standby_of(source)?;
        self.start()?;
        self.wait_streaming(source)
    }

    /// Writes what makes this node a standby at its next start or reload.
    pub(crate) fn become_standby_of(&self, source: &Node) -> Result<(), Error> {
        let slot = self.name();
        source.psql(&format!(
            "SELECT pg_create_physical_replication_slot('{slot}') WHERE NOT EXISTS \
             (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}')"
        ))?;
        self.set_upstream(Upstream::Server(source.port()));
        self.configure()?;
        self.0.site.user.write(&self.data_folder().join("standby.signal"), "")
    }

    pub(crate) fn reload(&self) -> Result<(), Error> {
        self.psql("SELECT pg_reload_conf()").map(drop)
    }

    pub(crate) fn wait_streaming(&self, source: &Node) -> Result<(), Error> {
        let (name, port) = (self.name(), source.port());
        // Both ends: right after a reload the old stream still counts on one of them.
        source.wait_for(
            &format!(
                "SELECT count(*) FROM pg_stat_replication \
                 WHERE application_name = '{name}' AND state = 'streaming'"
            ),
            "1",
            "a standby's stream",
        )?;
        self.wait_for(
            &format!(
                "SELECT count(*) FROM pg_stat_wal_receiver \
                 WHERE status = 'streaming' AND sender_port = {port}"
            ),
            "1",
            "its stream",
        )
    }

    fn pg_ctl(&self, words: &[&str]) -> Result<(), Error> {
        let site = &self.0.site;
        let mut command = site.user.command(site.binaries.program("pg_ctl"), self.folder());
        finish(command.args(words).arg("-D").arg(self.data_folder())).map(drop)
    }

    /// Takes the ended server's exit status, lest it stay a zombie.
    pub(crate) fn bury(&self) -> Result<(), Error> {
        let ended = self.server().take();
        ended.map_or(Ok(()), |mut child| child.wait().at(self.folder()).map(drop))
    }
}
