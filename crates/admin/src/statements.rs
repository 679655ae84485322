//! `/v1/statements`: what goes to the primary though it may be a read, and what replicas refused.

use axum::Json;
use axum::extract::State as Extract;
use proxy::inquiry::StatementView;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::query::{Asked, Limit};
use crate::state::State;

/// Which statements are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filters {
    cluster: Option<String>,
    database: Option<String>,
    why: Option<String>,
    /// Whether a replica refused it.
    refused: Option<bool>,
    #[serde(default)]
    limit: Limit,
}

impl Filters {
    fn mean(&self, statement: &StatementView) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        is(&self.cluster, &statement.cluster)
            && is(&self.database, &statement.database)
            && is(&self.why, statement.why.as_str())
            && self.refused.is_none_or(|refused| refused == statement.lesson.is_some())
    }
}

/// Some statements, and how many there are.
#[derive(Serialize)]
pub(crate) struct Listed {
    /// How many match, shown or not.
    matched: usize,
    limit: usize,
    statements: Vec<StatementBody>,
}

/// A statement as JSON shows it.
#[derive(Serialize)]
struct StatementBody {
    cluster: String,
    database: String,
    fingerprint: String,
    /// Without literals.
    text: Box<str>,
    class: &'static str,
    why: &'static str,
    /// How often clients ran it since it was noted.
    runs: u64,
    refused: Option<RefusedBody>,
}

/// What a replica taught of it.
#[derive(Serialize)]
struct RefusedBody {
    code: String,
    times: u32,
    /// How much longer it goes to the primary for that.
    believed_for_seconds: f64,
}

impl From<StatementView> for StatementBody {
    fn from(statement: StatementView) -> Self {
        Self {
            cluster: statement.cluster.to_string(),
            database: statement.database.to_string(),
            fingerprint: format!("{:032x}", statement.fingerprint),
            text: statement.text,
            class: statement.class.as_str(),
            why: statement.why.as_str(),
            runs: statement.runs,
            refused: statement.lesson.map(|lesson| RefusedBody {
                code: lesson.code.as_str().to_owned(),
                times: lesson.times,
                believed_for_seconds: lesson.believed_for.as_secs_f64(),
            }),
        }
    }
}

/// Those first that are run most.
pub(crate) async fn list(
    Extract(state): Extract<State>,
    Asked(filters): Asked<Filters>,
) -> Result<Json<Listed>, Problem> {
    let mut statements = state.workers.statements().await?;
    statements.retain(|statement| filters.mean(statement));
    let matched = statements.len();
    statements.truncate(filters.limit.0);
    let statements = statements.into_iter().map(StatementBody::from).collect();
    Ok(Json(Listed { matched, limit: filters.limit.0, statements }))
}
