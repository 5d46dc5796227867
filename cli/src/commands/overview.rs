//! `tikku overview`: how messages and runs have fared lately, in a dozen lines.

use anyhow::Result;
use serde_json::Value;

use crate::api::{Api, with_query};
use crate::clock::{seconds, span};
use crate::print::{Printer, Tone, text, text_or_dash, thousands};
use crate::table::{self, Cell, Column};

#[derive(clap::Args)]
pub struct Args {
    /// How far back: 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1h")]
    since: u64,
}

/// Runs the command.
pub async fn run(args: &Args, api: &Api, out: &Printer) -> Result<()> {
    let minutes = args.since.div_ceil(60).max(1);
    let overview = api.get(&with_query("/v1/overview", &[("minutes", Some(minutes.to_string()))])).await?;
    out.show(&overview.raw, || print(out, &overview.value, minutes));
    Ok(())
}

fn print(out: &Printer, overview: &Value, minutes: u64) {
    let sum = |name: &str| overview["buckets"].as_array().into_iter().flatten().filter_map(|bucket| bucket[name].as_u64()).sum::<u64>();
    let about = if overview["sampled"] == true { "about " } else { "" };
    let count = |name: &str| Some(format!("{about}{}", thousands(sum(name))));
    let percentiles = |value: &Value| Some(format!("{} for half, {} for 99 %", span(value["p50"].as_u64()?), span(value["p99"].as_u64()?)));
    let oldest = &overview["oldestDue"];
    let waits = text(&oldest["waitingFor"]).map(|what| format!(", waits for its {what}")).unwrap_or_default();
    let rate = overview["successRate"].as_f64().map(|rate| format!("{:.1} %", rate * 100.0));
    out.facts(&[
        ("Last", Some(span(minutes * 60_000))),
        ("Published", count("published")),
        ("Delivered", count("delivered")),
        ("Failed", count("failed")),
        ("Success", rate),
        ("Latency", percentiles(&overview["latencyMs"])),
        ("Pushes take", percentiles(&overview["pushMs"])),
        ("Oldest due", oldest["ageSeconds"].as_f64().map(|age| format!("{} for {age:.0} s{waits}", text_or_dash(&oldest["id"])))),
        ("Last tick", overview["lastTickAgeSeconds"].as_f64().map(|age| format!("{age:.1} s ago"))),
    ]);
    let columns = [Column::Cut("DESTINATION"), Column::Number("PUSHES"), Column::Number("FAILED"), Column::Whole("BREAKER")];
    let row = |one: &Value| -> Vec<Cell> {
        let failures = text_or_dash(&one["failures"]);
        let failed = if failures == "0" { Cell::from(failures) } else { Cell::toned(&failures, Tone::Bad) };
        vec![
            text_or_dash(&one["destination"]).into(),
            text_or_dash(&one["attempts"]).into(),
            failed,
            Cell::status(&text_or_dash(&one["breaker"])),
        ]
    };
    let rows: Vec<Vec<Cell>> = overview["destinations"].as_array().into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        out.say("");
        table::print(out, &columns, &rows, "");
    }
}
