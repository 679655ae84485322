//! What a server says of itself to a session of given settings.

use std::rc::Rc;

use policy::reports::Reports;
use policy::settings::{Settings, replay};
use wire::tag;

use crate::server::Server;
use crate::worker::Worker;

/// The largest answer to the query that applies settings.
const MAX_MESSAGE: usize = 64 * 1024;

/// Brings `server` to `settings`, so that its reports are what such a session is greeted with.
///
/// # Errors
///
/// The server's ErrorResponse, byte for byte, if it refuses a setting; drop the server.
pub(crate) async fn bring(
    server: &mut Server,
    settings: &Rc<Settings>,
    worker: &Worker,
) -> Result<(), Vec<u8>> {
    for query in replay(server.settings.as_deref(), settings) {
        server.settings = None;
        let _value = ask(server, &query, worker).await?;
    }
    server.settings = Some(Rc::clone(settings));
    Ok(())
}

/// Runs a query of Weir's own on a server that nobody uses; the last value of its answer.
///
/// # Errors
///
/// The server's ErrorResponse, byte for byte, empty if it is gone; drop the server.
pub(crate) async fn ask(
    server: &mut Server,
    query: &str,
    worker: &Worker,
) -> Result<Option<Vec<u8>>, Vec<u8>> {
    let mut out = Vec::new();
    wire::put_query(&mut out, query.as_bytes());
    server.stream.write_all(&out).await.map_err(|_| Vec::new())?;
    read_to_ready(server, worker).await
}

/// The ParameterStatus messages that tell a client of `reports`.
pub(crate) fn put(out: &mut Vec<u8>, reports: &Reports) {
    for (name, value) in reports.iter() {
        wire::put_parameter_status(out, name, value);
    }
    // What is true for Weir: a session can always write.
    wire::put_parameter_status(out, "in_hot_standby", "off");
}

/// The ParameterStatus messages that a client needs that was told `told`.
pub(crate) fn put_news(out: &mut Vec<u8>, reports: &Reports, told: &Reports) {
    for (name, value) in reports.news(told) {
        wire::put_parameter_status(out, name, value);
    }
}

async fn read_to_ready(server: &mut Server, worker: &Worker) -> Result<Option<Vec<u8>>, Vec<u8>> {
    let (mut inbox, mut chunk) = (Vec::new(), [0_u8; 4096]);
    let (mut refused, mut value) = (None, None);
    loop {
        let mut used = 0_usize;
        while let Ok(Some((frame, _))) =
            wire::next_frame(inbox.get(used..).unwrap_or_default(), MAX_MESSAGE)
        {
            used = used.saturating_add(frame.bytes.len());
            match frame.tag {
                tag::ERROR => refused = Some(frame.bytes.to_vec()),
                tag::READY => return refused.map_or(Ok(value), Err),
                // Two bytes of count, four of length, then the value.
                tag::DATA_ROW => value = frame.body.get(6..).map(<[u8]>::to_vec),
                tag::PARAMETER_STATUS => {
                    if let Ok((name, value)) = wire::parameter_status(frame.body) {
                        server.reports = worker.reports.with(&server.reports, name, value);
                    }
                }
                _ => {}
            }
        }
        inbox.drain(..used);
        let count = std::future::poll_fn(|cx| server.stream.poll_read(cx, &mut chunk))
            .await
            .map_err(|_| Vec::new())?;
        if count == 0 {
            return Err(Vec::new());
        }
        inbox.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}
