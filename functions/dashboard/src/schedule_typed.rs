//! What the form of a schedule says, and the schedule that it asks for. Out of scope: the form (`schedule_form`); judging it (the API).

use crate::link::Query;
use crate::parts::FieldError;
use crate::payload;
use crate::schedule_view::{Schedule, flow_document};
use crate::schedules::destination;
use crate::typed::{self, Document, header_lines, shown};

/// The form's fields for a schedule as it is.
pub fn filled(schedule: &Schedule) -> Query {
    let (target, dest) = destination(schedule.url.clone(), schedule.fanout.clone(), schedule.workflow.clone());
    let flow_key = schedule.flow_control.as_ref().map(|flow| flow.key.as_str()).unwrap_or_default();
    Query::default()
        .with("name", &schedule.name)
        .with("rhythm", if schedule.every_seconds.is_some() { "every" } else { "cron" })
        .with("cron", schedule.cron.as_deref().unwrap_or_default())
        .with("every", &shown(schedule.every_seconds))
        .with("timezone", schedule.timezone.as_deref().unwrap_or_default())
        .with("target", target)
        .with(target, &dest)
        .with("method", &schedule.method)
        .with("body", &body(schedule))
        .with("headers", &header_lines(&schedule.headers))
        .with("overlap", &schedule.overlap)
        .with("catchUp", &schedule.catch_up)
        .with("maxAttempts", &shown(Some(schedule.max_attempts)))
        .with("timeoutSeconds", &shown(Some(schedule.timeout_seconds)))
        .with("labels", &schedule.labels.join(", "))
        .with("flowKey", flow_key)
        .with("paused", if schedule.status == "paused" { "1" } else { "" })
}

fn body(schedule: &Schedule) -> String {
    schedule.sent().map(|json| payload::pretty(json.get())).unwrap_or_default()
}

/// What was typed, as the API takes it; what the form does not have stays as it was.
pub fn document(form: &Query, old: Option<&Schedule>) -> Result<Document, FieldError> {
    let mut document = Document::default().text("name", form.get("name").trim());
    document = if form.get("rhythm") == "every" {
        document.number("everySeconds", form.get("every"))
    } else {
        document.text("cron", form.get("cron").trim()).text("timezone", form.get("timezone").trim())
    };
    let target = match form.get("target") {
        "fanout" => "fanout",
        "workflow" => "workflow",
        _ => "url",
    };
    document = document.text(target, form.get(target).trim());
    if target != "workflow" {
        // Of a workflow they have no meaning.
        let headers = typed::headers(form.get("headers"))?;
        document = document.text("method", form.get("method"));
        if !headers.is_empty() {
            document = document.value("headers", &headers);
        }
    }
    document = sent(document, form, old, if target == "workflow" { "input" } else { "body" })?;
    document = document.text("overlap", form.get("overlap")).text("catchUp", form.get("catchUp"));
    document = document.number("maxAttempts", form.get("maxAttempts")).number("timeoutSeconds", form.get("timeoutSeconds"));
    let labels = typed::list(form.get("labels"));
    if !labels.is_empty() {
        document = document.value("labels", &labels);
    }
    document = flow(document, form, old);
    if let Some(old) = old {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        document = document.raw("backoff", Some(&old.backoff));
        document = document.text("callbackUrl", &text(&old.callback_url)).text("callbackWorkflow", &text(&old.callback_workflow));
        document = document.text("failureCallbackUrl", &text(&old.failure_callback_url));
        document = document.text("failureCallbackWorkflow", &text(&old.failure_callback_workflow));
    }
    Ok(document.value("paused", &form.has("paused")))
}

/// What is sent: byte for byte as it was, if it is shown as it was; browsers write lines their own way.
fn sent(document: Document, form: &Query, old: Option<&Schedule>, name: &'static str) -> Result<Document, FieldError> {
    let typed = form.get("body").replace("\r\n", "\n");
    let same = old.filter(|old| !typed.is_empty() && body(old) == typed).and_then(Schedule::sent);
    match same {
        Some(json) => Ok(document.raw(name, Some(json))),
        None => Ok(document.raw(name, typed::json("body", &typed)?.as_deref())),
    }
}

/// The key that was typed; its limits stay while the key does.
fn flow(document: Document, form: &Query, old: Option<&Schedule>) -> Document {
    let key = form.get("flowKey").trim();
    match old.and_then(|old| old.flow_control.as_ref()).filter(|flow| flow.key == key) {
        Some(flow) => document.inner("flowControl", &flow_document(flow)),
        None => document.inner("flowControl", &Document::default().text("key", key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: Result<Document, FieldError>) -> String {
        serde_json::to_string(&document.unwrap()).unwrap()
    }

    fn old() -> Schedule {
        let json = r#"{"id":"sch_1","name":"n","status":"active","cron":"0 9 * * *","timezone":"UTC","everySeconds":null,"overlap":"skip",
            "catchUp":"all","url":"https://a.example/","fanout":null,"workflow":null,"method":"POST","headers":{"x-a":"1"},"body":{"b":1.0,"a":[2]},
            "maxAttempts":5,"backoff":{"type":"fixed","initialSeconds":5},"timeoutSeconds":30,"labels":["l","m"],
            "flowControl":{"key":"k","parallelism":2,"rate":null,"periodSeconds":null},"callbackUrl":"https://b.example/",
            "inWords":"w","revision":3,"createdAt":"","updatedAt":""}"#;
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_edit_that_changes_nothing_asks_for_the_same_schedule() {
        let expected = r#"{"name":"n","cron":"0 9 * * *","timezone":"UTC","url":"https://a.example/","method":"POST","headers":{"x-a":"1"},"body":{"b":1.0,"a":[2]},"overlap":"skip","catchUp":"all","maxAttempts":5,"timeoutSeconds":30,"labels":["l","m"],"flowControl":{"key":"k","parallelism":2},"backoff":{"type":"fixed","initialSeconds":5},"callbackUrl":"https://b.example/","paused":false}"#;
        assert_eq!(text(document(&filled(&old()), Some(&old()))), expected);
        let form = filled(&old());
        let form = form.with("body", &form.get("body").replace('\n', "\r\n"));
        assert_eq!(text(document(&form, Some(&old()))), expected, "as a browser sends it");
    }

    #[test]
    fn a_workflow_gets_an_input_and_an_interval_no_zone() {
        let form = Query::parse(
            b"name=n&rhythm=every&every=90&timezone=UTC&target=workflow&workflow=w&url=x&method=PUT&headers=a&body=[1.0]&flowKey=z",
        );
        let expected = r#"{"name":"n","everySeconds":90,"workflow":"w","input":[1.0],"flowControl":{"key":"z"},"paused":false}"#;
        assert_eq!(text(document(&form, None)), expected);
        assert_eq!(document(&form.with("body", "{"), None).unwrap_err().field, "body");
    }
}
