//! The signing secret: shown to those who may see it, and rotated.
//!
//! Out of scope: signing (STAGE 2, tikku-deliver).

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::Deserialize;
use tikku_domain::limits::OVERLAP_SECONDS_DEFAULT;
use tikku_domain::problem::Kind;

use crate::gate::Desk;
use crate::page::{Flash, Page, whole};
use crate::parts::seconds;
use crate::refusal::Refusal;
use crate::typed::Document;
use crate::visitor::{Form, Visitor};
use crate::when::When;

const PATH: &str = "/dashboard/secrets";
const VERIFY_TS: &str = r#"import { verify } from "@tikku/sdk";

export async function POST(request: Request) {
  const raw = await request.text(); // the body as it came
  const secret = process.env.TIKKU_SIGNING_SECRET!;
  const body = verify(raw, request.headers, secret); // throws: answer 401
  return new Response("ok");
}"#;
const VERIFY_RUST: &str = r#"use tikku::Webhook;

let webhook = Webhook::new(&std::env::var("TIKKU_SIGNING_SECRET")?)?;
// Over the raw body; an error is a 401.
webhook.verify(request.headers(), &body)?;"#;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(show)).route("/dashboard/secrets/rotate", get(ask).post(rotate))
}

/// What the API answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    secret: String,
    created_at: String,
    previous: Vec<Previous>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Previous {
    secret: String,
    expires_at: String,
}

#[derive(Template)]
#[template(path = "secrets.html")]
struct SecretsPage {
    page: Page,
    secret: SecretView,
}

#[derive(Default)]
struct SecretView {
    visible: bool,
    secret: String,
    created: When,
    previous: Vec<PreviousSecret>,
    verify_ts: &'static str,
    verify_rust: &'static str,
}

struct PreviousSecret {
    secret: String,
    expires: When,
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct RotatePage {
    page: Page,
    overlap_seconds: String,
}

async fn show(visitor: Visitor) -> Result<Response, Refusal> {
    shown(&visitor, None).await
}

/// The page, with what was refused.
async fn shown(visitor: &Visitor, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let code = SecretView { verify_ts: VERIFY_TS, verify_rust: VERIFY_RUST, ..SecretView::default() };
    let secret = match visitor.api.get::<Secrets>("/v1/signing-secret").await {
        Ok(secrets) => SecretView {
            visible: true,
            secret: secrets.secret,
            created: visitor.when(Some(&secrets.created_at)),
            previous: secrets.previous.into_iter().map(|old| previous(visitor, old)).collect(),
            ..code
        },
        // The role may not see it: the page says so.
        Err(refusal) if refusal.is(Kind::Forbidden) => code,
        Err(refusal) => return Err(refusal),
    };
    let mut page = visitor.page("secrets");
    page.flashes.extend(refusal.map(Flash::error));
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &SecretsPage { page, secret })
}

fn previous(visitor: &Visitor, old: Previous) -> PreviousSecret {
    PreviousSecret { secret: old.secret, expires: visitor.when(Some(&old.expires_at)) }
}

async fn ask(visitor: Visitor) -> Result<Response, Refusal> {
    let template = RotatePage { page: visitor.page("secrets"), overlap_seconds: OVERLAP_SECONDS_DEFAULT.to_string() };
    whole(StatusCode::OK, &template)
}

async fn rotate(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let document = Document::default().number("overlapSeconds", form.get("overlapSeconds"));
    match visitor.api.post("/v1/signing-secret/rotate", &document).await {
        Ok(_) => Ok(visitor.done(PATH, Flash::ok(rotated(form.get("overlapSeconds"))))),
        Err(refusal) if [400, 403].contains(&refusal.status) => shown(&visitor, Some(&refusal)).await,
        Err(refusal) => Err(refusal),
    }
}

fn rotated(overlap: &str) -> String {
    match overlap.parse().unwrap_or(OVERLAP_SECONDS_DEFAULT) {
        0 => "Rotated. The old secret does not sign any more: endpoints that do not have the new one refuse pushes.".to_owned(),
        overlap => format!("Rotated. The old secret signs beside the new one for {}.", seconds(overlap)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_how_long_the_old_secret_goes_on() {
        assert!(rotated("0").contains("does not sign any more"));
        assert!(rotated("604800").ends_with("for 7 d.") && rotated("").ends_with("for 1 d."));
    }
}
