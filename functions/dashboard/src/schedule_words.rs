//! When a schedule is due: in words as the API says it, and its next times on the clock of its zone. Also while somebody types.
//!
//! Out of scope: finding the times and the words (STAGE 1, `/v1/schedule-preview`).

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::Uri;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::gate::Desk;
use crate::link::Query;
use crate::page::part;
use crate::refusal::Refusal;
use crate::schedules::capital;
use crate::visitor::Visitor;
use crate::when::When;

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/schedules/explain", get(explain))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    in_words: String,
    clock_change: Option<String>,
    next_runs_at: Vec<String>,
}

#[derive(Template)]
#[template(path = "parts/schedule_explain.html")]
struct ExplainPart {
    explain: Explain,
}

/// A rhythm in words; or what is wrong with it; or nothing, while nothing is typed.
#[derive(Default)]
pub struct Explain {
    pub ok: bool,
    pub words: String,
    pub note: String,
    pub error: String,
    pub coming: Vec<Coming>,
}

/// A due time to come.
pub struct Coming {
    pub at: When,
    pub local: String,
    pub weekday: String,
}

async fn explain(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let explain = explained(&visitor, &Query::of(&uri)).await?;
    part(&ExplainPart { explain })
}

/// Of what a form says: `rhythm`, and `cron` with `timezone` or `every`.
pub async fn explained(visitor: &Visitor, form: &Query) -> Result<Explain, Refusal> {
    let is_every = form.get("rhythm") == "every";
    let asked = if is_every {
        Query::default().with("everySeconds", form.get("every").trim())
    } else {
        Query::default().with("cron", form.get("cron").trim()).with("timezone", form.get("timezone").trim())
    };
    if !asked.has("everySeconds") && !asked.has("cron") {
        return Ok(Explain::default());
    }
    match visitor.api.get::<Preview>(&asked.on("/v1/schedule-preview")).await {
        Ok(preview) => Ok(Explain {
            ok: true,
            words: capital(&preview.in_words),
            note: preview.clock_change.unwrap_or_default(),
            error: String::new(),
            coming: coming(visitor, &preview.next_runs_at, asked.get("timezone")),
        }),
        Err(refusal) if refusal.status == 400 => Ok(Explain { error: refusal.sentence(), ..Explain::default() }),
        Err(refusal) => Err(refusal),
    }
}

/// Times on the clock of a zone; of UTC, where there is none.
pub fn coming(visitor: &Visitor, times: &[String], zone: &str) -> Vec<Coming> {
    times.iter().map(|time| at(visitor.when(Some(time)), zone)).collect()
}

fn at(when: When, zone: &str) -> Coming {
    let zone = if zone.is_empty() { TimeZone::UTC } else { TimeZone::get(zone).unwrap_or(TimeZone::UTC) };
    let Ok(moment) = when.iso.parse::<Timestamp>() else {
        return Coming { at: when, local: String::new(), weekday: String::new() };
    };
    let local = moment.to_zoned(zone);
    let minutes = if local.second() == 0 { "%Y-%m-%d %H:%M %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
    Coming { at: when, local: local.strftime(minutes).to_string(), weekday: local.strftime("%a").to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_on_the_clock_of_its_zone() {
        let told = |time: &str, zone: &str| {
            let told = at(When::new(time, 0), zone);
            format!("{} {}", told.weekday, told.local)
        };
        assert_eq!(told("2027-03-28T00:30:00Z", "Europe/Berlin"), "Sun 2027-03-28 01:30 CET");
        assert_eq!(told("2027-03-28T01:00:00Z", "Europe/Berlin"), "Sun 2027-03-28 03:00 CEST");
        assert_eq!(told("2027-03-28T01:00:05Z", ""), "Sun 2027-03-28 01:00:05 UTC");
    }
}
