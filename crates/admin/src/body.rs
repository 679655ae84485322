//! JSON bodies, bounded and strict.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The largest body that is read, bytes: a long statement to explain, and some room.
pub(crate) const MOST: usize = 256 * 1024;

/// A JSON body of that shape.
///
/// The content type is insisted on: a web page that an operator visits can't send it across
/// origins without asking first.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.to_str().unwrap_or_default();
            let name = kind.split_once(';').map_or(kind, |(name, _)| name);
            name.trim().eq_ignore_ascii_case("application/json")
        });
        if !json {
            let detail = "send the body with the header Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let detail = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => format!("the body is larger than {MOST} bytes"),
                _ => "the body could not be read".to_owned(),
            };
            Problem::new(rejection.status(), detail)
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|cause| {
            let status = if cause.is_data() {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::BAD_REQUEST
            };
            Problem::new(status, format!("the body is not what is expected here: {cause}"))
        })
    }
}
