//! Waits for the end of a run. A run that continued as a new one ends when that one does.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::messages::{block, raw_member};
use super::path;
use crate::api::{Api, Doc};
use crate::exit::{Exit, Fault};
use crate::json_text::pretty;
use crate::print::{Printer, text, text_or_dash};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits so many seconds at most, prints the run, and says by its result how it ended.
pub async fn wait(api: &Api, out: &Printer, id: &str, most_s: u64) -> Result<()> {
    let run = over(api, id, Duration::from_secs(most_s)).await?;
    out.show(&run.raw, || print(out, &run));
    let id = text_or_dash(&run.value["id"]);
    match run.value["status"].as_str().unwrap_or_default() {
        "completed" => Ok(()),
        "failed" => Err(Fault::error(Exit::Failed, format!("{id} has failed: {}", why(&run.value["error"])))),
        "cancelled" => Err(Fault::error(Exit::Failed, format!("{id} was cancelled"))),
        status => Err(Fault::error(Exit::TooLong, format!("{id} is {status} after {most_s} s"))),
    }
}

async fn over(api: &Api, id: &str, most: Duration) -> Result<Doc> {
    let begun = Instant::now();
    let mut id = id.to_owned();
    loop {
        let run = api.get(&path(&id)).await?;
        if let Some(next) = run.value["continuedBy"].as_str() {
            next.clone_into(&mut id);
            continue;
        }
        let over = ["completed", "failed", "cancelled"].iter().any(|status| run.value["status"] == *status);
        if over || begun.elapsed() >= most {
            return Ok(run);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// An error of a workflow in one line: its name and message.
pub fn why(error: &Value) -> String {
    match (text(&error["name"]), text(&error["message"])) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => text_or_dash(error),
    }
}

fn print(out: &Printer, run: &Doc) {
    out.say(&format!("{}  {}", text_or_dash(&run.value["id"]), out.status(&text_or_dash(&run.value["status"]))));
    if let Some(output) = raw_member(&run.raw, "output").filter(|_| run.value["status"] == "completed") {
        block(out, &pretty(output.get()));
    }
}
