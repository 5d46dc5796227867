//! Problems (RFC 9457): the closed list of what the API can refuse, and how it says so. `detail` is for the client.

use serde::Serialize;
use utoipa::ToSchema;

use crate::fields::FieldError;

/// The kinds of problem. Each has one `type`, one title and one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is not understood; `errors` says where.
    InvalidRequest,
    /// No key or token, or one that does not work.
    Unauthorized,
    /// The key's role, or the policy of what is asked for, does not allow this.
    Forbidden,
    /// No such thing in this account.
    NotFound,
    /// The route exists, this method does not.
    MethodNotAllowed,
    /// The thing's state does not allow this.
    Conflict,
    /// The thing has changed since the revision that If-Match names.
    PreconditionFailed,
    /// The request is larger than a limit.
    TooLarge,
    /// An idempotency key came back with another payload.
    IdempotencyMismatch,
    /// The data of an answer does not fit the schema of what was asked.
    UnfitData,
    /// The dispatch is over: the run is, or another dispatch or a control verb has come in between.
    Stale,
    /// A rule of the workflow protocol is broken; nothing was recorded.
    Protocol,
    /// The account's requests of this minute are used up.
    RateLimited,
    /// The database cannot be reached or is too busy: try again.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Kind {
    /// All kinds, for documents and tests.
    pub const ALL: [Self; 15] = [
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::IdempotencyMismatch,
        Self::UnfitData,
        Self::Stale,
        Self::Protocol,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Slug, title and HTTP status.
    pub fn parts(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::InvalidRequest => ("invalid-request", "The request is not valid", 400),
            Self::Unauthorized => ("unauthorized", "Credentials are missing or wrong", 401),
            Self::Forbidden => ("forbidden", "Not allowed", 403),
            Self::NotFound => ("not-found", "Not found", 404),
            Self::MethodNotAllowed => ("method-not-allowed", "Method not allowed", 405),
            Self::Conflict => ("conflict", "The current state does not allow this", 409),
            Self::PreconditionFailed => ("precondition-failed", "It is not what If-Match names", 412),
            Self::TooLarge => ("too-large", "The request is too large", 413),
            Self::IdempotencyMismatch => ("idempotency-mismatch", "The idempotency key was used with another payload", 422),
            Self::UnfitData => ("unfit-data", "The data does not fit its schema", 422),
            Self::Stale => ("stale", "The dispatch is over", 409),
            Self::Protocol => ("protocol", "A rule of the workflow protocol is broken", 422),
            Self::RateLimited => ("rate-limited", "Too many requests", 429),
            Self::Unavailable => ("unavailable", "Temporarily unavailable", 503),
            Self::Internal => ("internal", "Internal error", 500),
        }
    }
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// A URN that names the kind: `urn:tikku:problem:invalid-request`, ...
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, and what is allowed.
    pub detail: String,
    /// What was wrong where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// Seconds for the Retry-After header.
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with its detail.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (slug, title, status) = kind.parts();
        Self {
            type_uri: format!("urn:tikku:problem:{slug}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: (kind == Kind::Unavailable).then_some(2),
        }
    }

    /// A request with one or more wrong fields.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(|e| e.detail.as_str()).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(Kind::InvalidRequest, detail) }
    }

    /// A request with one wrong field.
    pub fn invalid_field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.into() }])
    }

    /// No such thing in this account, whether it exists in another or not.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what} in this account"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_distinct_and_client_errors_are_4xx() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|k| k.parts().0).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
        let problem = Problem::invalid_field("/url", "url must be a string");
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({"type": "urn:tikku:problem:invalid-request", "title": "The request is not valid", "status": 400,
                "detail": "url must be a string", "errors": [{"pointer": "/url", "detail": "url must be a string"}]})
        );
    }
}
