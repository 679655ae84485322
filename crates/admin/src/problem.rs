//! Errors as RFC 9457 problem details, whoever raised them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use policy::cluster::MembershipError;
use serde::Serialize;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What went wrong and what to do about it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The request was understood and can't be carried out as it is.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl From<MembershipError> for Problem {
    fn from(error: MembershipError) -> Self {
        let status = match error {
            MembershipError::NameTaken
            | MembershipError::AddressTaken
            | MembershipError::IsPrimary => StatusCode::CONFLICT,
            MembershipError::NoSuchNode => StatusCode::NOT_FOUND,
            MembershipError::BadWeight => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            // RFC 9457, 4.2.1: no meaning beyond that of the status code.
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let kind = [(header::CONTENT_TYPE, CONTENT_TYPE)];
        let mut response = (self.status, kind, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 11.6.1 demands it.
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Turns errors that the framework answered by itself into problems, headers kept.
pub(crate) async fn dress(response: Response) -> Response {
    let status = response.status();
    let dressed = response.headers().get(header::CONTENT_TYPE) == Some(&CONTENT_TYPE);
    if dressed || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let detail = match status {
        StatusCode::NOT_FOUND => {
            "no such resource; there are /livez, /readyz, /metrics, /v1/clusters, /v1/sessions, /v1/pools and /v1/explain"
        }
        StatusCode::METHOD_NOT_ALLOWED => "this resource knows other methods: see the Allow header",
        StatusCode::BAD_REQUEST => "the path or the request can't be read",
        _ => "the request could not be answered",
    };
    let (parts, _) = response.into_parts();
    let mut problem = Problem::new(status, detail).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}
