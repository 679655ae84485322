//! What a server says of itself to a session of given settings.

use wire::tag;

use crate::server::Server;
use crate::settings::Settings;

/// The largest answer to the query that applies settings.
const MAX_MESSAGE: usize = 64 * 1024;

/// Brings `server` to `settings` and returns its ParameterStatus messages.
///
/// # Errors
///
/// The server's ErrorResponse, byte for byte, if it refuses a setting; drop the server.
pub(crate) async fn of(server: &mut Server, settings: &Settings) -> Result<Vec<u8>, Vec<u8>> {
    let mut statuses: Vec<(Vec<u8>, Vec<u8>)> = server
        .greeting
        .iter()
        .map(|(name, value)| (name.clone().into(), value.clone().into()))
        .collect();
    if server.settings != settings.id {
        let mut out = Vec::new();
        wire::put_query(&mut out, settings.query(server.settings).as_bytes());
        server.stream.write_all(&out).await.map_err(|_| Vec::new())?;
        read_to_ready(server, &mut statuses).await?;
        server.settings = settings.id;
    }
    let mut out = Vec::new();
    for (name, value) in &statuses {
        // What is true for Weir: a session can always write.
        let value = if name == b"in_hot_standby" { b"off" } else { value.as_slice() };
        wire::put_parameter_status(&mut out, name, value);
    }
    Ok(out)
}

async fn read_to_ready(
    server: &mut Server,
    statuses: &mut Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<(), Vec<u8>> {
    let (mut inbox, mut chunk) = (Vec::new(), [0_u8; 4096]);
    let mut refused = None;
    loop {
        let mut used = 0_usize;
        while let Ok(Some((frame, _))) =
            wire::next_frame(inbox.get(used..).unwrap_or_default(), MAX_MESSAGE)
        {
            used = used.saturating_add(frame.bytes.len());
            match frame.tag {
                tag::ERROR => refused = Some(frame.bytes.to_vec()),
                tag::READY => return refused.map_or(Ok(()), Err),
                tag::PARAMETER_STATUS => {
                    if let Ok((name, value)) = wire::parameter_status(frame.body) {
                        statuses.retain(|(known, _)| known != name);
                        statuses.push((name.to_vec(), value.to_vec()));
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
