//! The list of fanouts, and making one.
//!
//! Out of scope: one fanout (`fanout`) and its endpoints (`endpoint`).

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tikku_domain::problem::Kind;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{FieldError, form_errors, number, shell};
use crate::refusal::{FieldRefusal, Refusal};
use crate::typed::lines;
use crate::visitor::{Form, Visitor};
use crate::when::When;

/// The list.
pub const PATH: &str = "/dashboard/fanouts";

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list).post(create)).route("/dashboard/fanouts/new", get(new))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Fanout>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fanout {
    name: String,
    endpoint_count: i64,
    paused_count: i64,
    updated_at: String,
}

#[derive(Template)]
#[template(path = "fanouts.html")]
struct FanoutsPage {
    page: Page,
    list: FanoutList,
}

struct FanoutList {
    rows: Vec<FanoutRow>,
    next_href: String,
    first_href: String,
    curl: String,
}

struct FanoutRow {
    name: String,
    href: String,
    endpoints: String,
    paused: String,
    updated: When,
}

#[derive(Template)]
#[template(path = "fanout_form.html")]
struct FormPage {
    page: Page,
    form: FanoutForm,
}

#[derive(Default)]
struct FanoutForm {
    name: String,
    urls: String,
    workflows: String,
    detail: String,
    errors: Vec<FieldError>,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let listed: Listed = visitor.api.get(&query.only(&["cursor"]).on("/v1/fanouts")).await?;
    let body = r#"{"endpoints":[{"url":"https://billing.example.com/hook"},{"url":"https://search.example.com/hook"}]}"#;
    let list = FanoutList {
        next_href: listed.next_cursor.map(|cursor| Query::default().with("cursor", &cursor).on(PATH)).unwrap_or_default(),
        first_href: if query.has("cursor") { PATH.to_owned() } else { String::new() },
        curl: format!(
            "curl -X PUT {}/v1/fanouts/orders -H 'authorization: Bearer {}…' -H 'content-type: application/json' -d {}",
            visitor.base,
            visitor.key.hint,
            shell(body)
        ),
        rows: listed.data.into_iter().map(|fanout| row(&visitor, fanout)).collect(),
    };
    whole(StatusCode::OK, &FanoutsPage { page: visitor.page("fanouts"), list })
}

fn row(visitor: &Visitor, fanout: Fanout) -> FanoutRow {
    FanoutRow {
        href: format!("{PATH}/{}", segment(&fanout.name)),
        endpoints: endpoints(fanout.endpoint_count),
        paused: if fanout.paused_count > 0 { format!("{} paused", number(fanout.paused_count)) } else { String::new() },
        updated: visitor.when(Some(&fanout.updated_at)),
        name: fanout.name,
    }
}

/// "1 endpoint", "4 endpoints".
pub fn endpoints(count: i64) -> String {
    format!("{} endpoint{}", number(count), if count == 1 { "" } else { "s" })
}

async fn new(visitor: Visitor) -> Result<Response, Refusal> {
    whole(StatusCode::OK, &FormPage { page: visitor.page("fanouts"), form: FanoutForm::default() })
}

async fn create(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let name = form.get("name").trim();
    let (urls, workflows) = (lines(form.get("urls")), lines(form.get("workflows")));
    match make(&visitor, name, &urls, &workflows).await {
        Ok(()) => {
            let text = format!("The fanout {name} has {}.", endpoints((urls.len() + workflows.len()) as i64));
            Ok(visitor.done(&format!("{PATH}/{}", segment(name)), Flash::ok(text)))
        }
        Err(refusal) if [400, 403, 409, 413].contains(&refusal.status) => {
            let (detail, errors) = form_errors(&named(&refusal, &urls, &workflows));
            let text = |name: &str| form.get(name).to_owned();
            let form = FanoutForm { name: text("name"), urls: text("urls"), workflows: text("workflows"), detail, errors };
            whole(refusal.code(), &FormPage { page: visitor.page("fanouts"), form })
        }
        Err(refusal) => Err(refusal),
    }
}

/// A PUT would give a fanout that is there other endpoints, which nobody asked for who makes a new one.
async fn make(visitor: &Visitor, name: &str, urls: &[&str], workflows: &[&str]) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(Kind::InvalidRequest, "a fanout needs a name"));
    }
    let path = format!("/v1/fanouts/{}", segment(name));
    match visitor.api.get::<IgnoredAny>(&path).await {
        Ok(_) => return Err(Refusal::new(Kind::Conflict, format!("there is a fanout {name} already; open it to change its endpoints"))),
        // What cannot be a name is told by the PUT.
        Err(refusal) if refusal.status == 404 || refusal.status == 400 => {}
        Err(refusal) => return Err(refusal),
    }
    visitor.api.put(&path, &json!({ "endpoints": asked(urls, workflows) })).await.map(|_| ())
}

fn asked(urls: &[&str], workflows: &[&str]) -> Vec<Value> {
    urls.iter().map(|url| json!({ "url": url })).chain(workflows.iter().map(|name| json!({ "workflow": name }))).collect()
}

/// What is wrong with an endpoint is told with what was typed for it.
fn named(refusal: &Refusal, urls: &[&str], workflows: &[&str]) -> Refusal {
    let typed: Vec<&str> = urls.iter().chain(workflows).copied().collect();
    let of = |error: &FieldRefusal| {
        let mut parts = error.pointer.trim_start_matches('/').split('/');
        let index: Option<usize> = (parts.next() == Some("endpoints")).then(|| parts.next()?.parse().ok()).flatten();
        let detail = match index.and_then(|index| typed.get(index)) {
            Some(text) => format!("“{text}”: {}", error.detail),
            None => error.detail.clone(),
        };
        FieldRefusal { pointer: String::new(), detail }
    };
    Refusal { errors: refusal.errors.iter().map(of).collect(), ..refusal.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_endpoint_is_told_with_what_was_typed() {
        let text = r#"{"status":400,"title":"T","detail":"D","errors":[{"pointer":"/endpoints/1/url","detail":"url must be a URL"},{"pointer":"/endpoints/2/workflow","detail":"is wrong"},{"pointer":"/name","detail":"name is wrong"}]}"#;
        let refusal = named(&serde_json::from_str(text).unwrap(), &["https://a.example", "b"], &["w w"]);
        let details: Vec<&str> = refusal.errors.iter().map(|error| error.detail.as_str()).collect();
        assert_eq!(details, ["“b”: url must be a URL", "“w w”: is wrong", "name is wrong"]);
        assert_eq!(endpoints(1), "1 endpoint");
    }
}
