//! Query strings, strict: a filter that is misspelled must not look like one that found nothing.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};

use crate::problem::Problem;

/// How many things a list shows unless it is told.
const USUAL: usize = 100;
/// How many it shows at most: an answer stays below a megabyte.
const MOST: usize = 1_000;

/// A query string of that shape.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = |rejection: QueryRejection| {
            let text = rejection.body_text();
            let cause = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let detail = format!("the query string is not what is expected here: {cause}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        };
        Query::from_request_parts(parts, state).await.map(|Query(asked)| Self(asked)).map_err(bad)
    }
}

/// How many things a list shows at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) usize);

impl Default for Limit {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = usize::deserialize(deserializer)?;
        if (1..=MOST).contains(&limit) {
            return Ok(Self(limit));
        }
        Err(D::Error::custom(format!("limit must be from 1 to {MOST}")))
    }
}
