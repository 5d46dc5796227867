//! Problems of the API as pages show them: a sentence, and what is wrong with which field.
//!
//! Out of scope: the page around them, which `gate` puts there.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use tikku_domain::problem::{Kind, Problem};

/// A problem document (RFC 9457) that the API answered. As a response it is an error page.
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The kind in words.
    pub title: String,
    /// What was wrong this time.
    pub detail: String,
    /// What was wrong where.
    #[serde(default)]
    pub errors: Vec<FieldRefusal>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Deserialize)]
pub struct FieldRefusal {
    /// A JSON pointer into the body, or a parameter's name.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Refusal {
    /// A refusal of the dashboard's own.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let problem = Problem::new(kind, detail);
        Self { status: problem.status, title: problem.title, detail: problem.detail, errors: Vec::new() }
    }

    /// There is no such page, or no such thing in this account.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// The detail as a sentence for people; of wrong fields, what is wrong with each.
    pub fn sentence(&self) -> String {
        let details: Vec<&str> = self.errors.iter().map(|error| error.detail.as_str()).collect();
        let text = if details.is_empty() { self.detail.clone() } else { details.join("; ") };
        let mut characters = text.chars();
        let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
        format!("{first}{}{end}", characters.as_str())
    }

    /// Whether it is of this kind, or of another with the same status.
    pub fn is(&self, kind: Kind) -> bool {
        self.status == kind.parts().2
    }

    /// The status as an HTTP answer has it.
    pub fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_a_sentence() {
        let text = r#"{"type":"x","title":"T","status":400,"detail":"the request is wrong","errors":[{"pointer":"/backoff/factor","detail":"backoff.factor must be a number"}]}"#;
        let refusal: Refusal = serde_json::from_str(text).unwrap();
        assert_eq!(refusal.sentence(), "Backoff.factor must be a number.");
        assert_eq!(Refusal::not_found("message").sentence(), "There is no such message.");
    }
}
