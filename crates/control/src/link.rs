//! One bounded connection to one node as the monitor: everything here ends in time or fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage, Statement};

use crate::config::{Monitor, ServerTls};
use crate::task::Owned;
use crate::tls::Tls;

/// How links are opened: as whom, and how patiently.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// As whom.
    pub(crate) monitor: Arc<Monitor>,
    /// What `pg_stat_activity` shows.
    pub(crate) application: &'static str,
    /// The bound of connecting and of each statement, on both sides of the wire.
    pub(crate) patience: Duration,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host name or address.
    pub(crate) host: Box<str>,
    /// TCP port.
    pub(crate) port: u16,
}

/// An open connection; dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    driver: Owned,
    patience: Duration,
}

/// Why a node could not be asked.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// No answer within the bound.
    TimedOut(Duration),
    /// The connection failed or the server refused.
    Postgres(tokio_postgres::Error),
    /// The server answered what no server of this kind answers.
    Malformed(&'static str),
}

impl Door {
    /// Logs in to `database` on the node at `address`, within the door's patience.
    ///
    /// Cancel-safe: a connection half made is closed.
    ///
    /// # Errors
    ///
    /// Any [`LinkError`]: nothing is left open; try again after a pause.
    pub(crate) async fn open(&self, address: &Address, database: &str) -> Result<Link, LinkError> {
        let config = self.config(address, database);
        let opening = async {
            let (client, driver) = match &self.monitor.tls {
                ServerTls::Disable => {
                    let (client, connection) = config.connect(NoTls).await?;
                    (client, Owned::spawn(async { drop(connection.await) }))
                }
                ServerTls::Prefer(tls) | ServerTls::Require(tls) | ServerTls::VerifyFull(tls) => {
                    let (client, connection) = config.connect(Tls(Arc::clone(tls))).await?;
                    (client, Owned::spawn(async { drop(connection.await) }))
                }
            };
            Ok(Link { client, driver, patience: self.patience })
        };
        // tokio-postgres' own connect_timeout covers TCP only: a host that accepts and then says
        // nothing would hang the login for ever.
        bounded(self.patience, opening).await
    }

    fn config(&self, address: &Address, database: &str) -> Config {
        let Monitor { user, password, tls, .. } = &*self.monitor;
        let mut config = Config::new();
        config.host(&*address.host).port(address.port).user(user).dbname(database);
        if let Some(password) = password {
            config.password(password);
        }
        config.ssl_mode(match tls {
            ServerTls::Disable => SslMode::Disable,
            ServerTls::Prefer(_) => SslMode::Prefer,
            ServerTls::Require(_) | ServerTls::VerifyFull(_) => SslMode::Require,
        });
        // An empty path after pg_catalog: nobody who may create functions can shadow ours.
        config.application_name(self.application).options(format!(
            "-c statement_timeout={} -c search_path=pg_catalog -c jit=off",
            self.patience.as_millis()
        ));
        config.tcp_user_timeout(self.patience);
        // Whole seconds only: less would be rounded to zero, which the kernel refuses.
        config.keepalives_idle(self.patience.max(Duration::from_secs(1)));
        config
    }
}

impl Link {
    /// Prepares `sql`.
    ///
    /// # Errors
    ///
    /// Any [`LinkError`]: drop the link.
    pub(crate) async fn prepare(&self, sql: &str) -> Result<Statement, LinkError> {
        bounded(self.patience, self.client.prepare(sql)).await
    }

    /// Runs a prepared statement that answers exactly one row.
    ///
    /// Nothing is sent before the future is first polled.
    ///
    /// # Errors
    ///
    /// Any [`LinkError`]: drop the link.
    pub(crate) async fn ask(&self, statement: &Statement) -> Result<Row, LinkError> {
        bounded(self.patience, self.client.query_one(statement, &[])).await
    }

    /// Runs `sql` and answers its rows as text.
    ///
    /// # Errors
    ///
    /// Any [`LinkError`]: drop the link.
    pub(crate) async fn text(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, LinkError> {
        bounded(self.patience, self.client.simple_query(sql)).await
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the connection is gone. Cancel-safe; must not be called again after it returned.
    pub(crate) async fn closed(&mut self) {
        self.driver.ended().await;
    }
}

impl LinkError {
    /// Whether the server says that the database does not exist.
    pub(crate) fn is_no_such_database(&self) -> bool {
        self.code() == Some(&SqlState::INVALID_CATALOG_NAME)
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            Self::TimedOut(_) | Self::Malformed(_) => None,
        }
    }

    /// What the operator can do, where the SQLSTATE tells.
    fn advice(&self) -> Option<&'static str> {
        let code = self.code()?;
        let advice = if *code == SqlState::INVALID_PASSWORD {
            "check the password of `monitor`"
        } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
            "let the `monitor` user in: role, LOGIN and pg_hba.conf"
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            "grant it to the `monitor` user (CONNECT on the database, membership in pg_monitor)"
        } else if *code == SqlState::UNDEFINED_FUNCTION {
            "this server lacks a function that probes need, so its role can't be confirmed"
        } else {
            return None;
        };
        Some(advice)
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(bound) => write!(f, "no answer within {bound:?}")?,
            Self::Malformed(what) => write!(f, "not the answer of a PostgreSQL server: {what}")?,
            Self::Postgres(error) => {
                if let Some(said) = error.as_db_error() {
                    write!(f, "{} ({})", said.message(), said.code().code())?;
                } else {
                    // Its own words are as short as "error connecting to server".
                    write!(f, "{error}")?;
                    std::error::Error::source(error).map_or(Ok(()), |why| write!(f, ": {why}"))?;
                }
            }
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Postgres(error) => Some(error),
            Self::TimedOut(_) | Self::Malformed(_) => None,
        }
    }
}

impl From<tokio_postgres::Error> for LinkError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

async fn bounded<T>(
    bound: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, LinkError> {
    match timeout(bound, work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_elapsed) => Err(LinkError::TimedOut(bound)),
    }
}
