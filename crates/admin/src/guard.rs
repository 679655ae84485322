//! Who may call `/v1`.

use std::net::IpAddr;

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;
use crate::state::State;

/// Lets a request through that may be answered.
pub(crate) async fn guard(
    Extract(state): Extract<State>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = match state.token.as_deref() {
        Some(token) => presents(request.headers(), token),
        None => is_no_web_page(request.headers()),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn presents(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let value = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = value.and_then(|value| {
        let (scheme, given) = value.split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)
    });
    // Takes as long for a token that is wrong at its end as for one that is wrong at its start.
    if given.is_some_and(|given| given.ct_eq(token.as_bytes()).into()) {
        return Ok(());
    }
    let detail = "send the header Authorization: Bearer with the token of admin.token";
    Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
}

/// Without a token, loopback is what protects; a browser on this host is no operator.
///
/// A page could send simple requests across origins, or have its own name point to 127.0.0.1.
fn is_no_web_page(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let local = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    if local && !headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    let detail = "web pages may call this only with a token: set admin.token";
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_whole_token_passes() {
        let with = |value| presents(&headers(&[(header::AUTHORIZATION, value)]), "abc").is_ok();
        assert!(with("Bearer abc"));
        assert!(with("bearer abc"));
        assert!(!with("Bearer ab"));
        assert!(!with("Bearer abcd"));
        assert!(!with("Bearer "));
        assert!(!with("Basic abc"));
        assert!(presents(&HeaderMap::new(), "abc").is_err());
    }

    #[test]
    fn a_page_with_an_origin_or_a_name_of_its_own_is_refused() {
        let with = |pairs: &[_]| is_no_web_page(&headers(pairs)).is_ok();
        assert!(with(&[(header::HOST, "127.0.0.1:8432")]));
        assert!(with(&[(header::HOST, "[::1]:8432")]));
        assert!(with(&[(header::HOST, "[::1]")]));
        assert!(with(&[(header::HOST, "localhost")]));
        assert!(!with(&[(header::HOST, "evil.example:8432")]));
        assert!(!with(&[
            (header::HOST, "127.0.0.1:8432"),
            (header::ORIGIN, "http://127.0.0.1:8432")
        ]));
    }
}
