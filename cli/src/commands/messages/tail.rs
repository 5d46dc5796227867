//! `tikku messages tail`: the newest messages, and with `--follow` each that comes and each change of status.
//!
//! It asks the list once a second and compares: changes of messages that are older than the newest thousand are not seen.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tikku_domain::filter::STATES;
use tokio::time::sleep;

use super::{Filter, destination, tries};
use crate::api::{Api, Doc, with_query};
use crate::clock::local;
use crate::exit::{Exit, code};
use crate::listing::Parameters;
use crate::print::{Printer, Tone, text_or_dash};
use crate::screen;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows of a page, and pages of a look.
const PAGE: usize = 200;
const PAGES_MAX: usize = 5;
/// Messages that are remembered; the oldest beyond are forgotten.
const KNOWN_MAX: usize = PAGE * PAGES_MAX;

#[derive(clap::Args)]
pub struct Args {
    /// Go on until Ctrl-C: print what comes and what changes
    #[arg(long, short)]
    follow: bool,
    /// How many of the newest to begin with
    #[arg(short = 'n', long = "lines", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    lines: u16,
    /// Only those that are this; with --follow, when they become it
    #[arg(long, value_parser = STATES)]
    status: Option<String>,
    #[command(flatten)]
    filter: Filter,
}

/// What was last printed of each message, by its id.
type Known = HashMap<String, String>;

/// Runs the command.
pub async fn run(args: &Args, api: &Api, out: &Printer) -> Result<()> {
    let mut parameters = args.filter.parameters();
    parameters.push(("status", args.status.clone()));
    let lines = usize::from(args.lines);
    let mut known = Known::new();
    let newest = look(api, &parameters, lines, &known).await?;
    for message in newest.iter().take(lines).rev() {
        print(out, message);
    }
    remember(&mut known, &newest);
    if args.follow { follow(api, out, &parameters, known).await } else { Ok(()) }
}

/// Prints what comes and what changes, until Ctrl-C.
async fn follow(api: &Api, out: &Printer, parameters: &Parameters, mut known: Known) -> Result<()> {
    let mut away = false;
    loop {
        sleep(LOOK_EVERY).await;
        match look(api, parameters, 0, &known).await {
            Ok(messages) => {
                if std::mem::take(&mut away) {
                    screen::complain("the API answers again");
                }
                messages.iter().rev().filter(|message| changed(&known, &message.value)).for_each(|message| print(out, message));
                remember(&mut known, &messages);
            }
            // A deployment restarts now and then: following goes on.
            Err(error) if code(&error) == Exit::Unreachable => {
                if !std::mem::replace(&mut away, true) {
                    screen::complain(&format!("{error:#}; trying again"));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The newest messages: at least so many, and back to one that is known.
async fn look(api: &Api, parameters: &Parameters, at_least: usize, known: &Known) -> Result<Vec<Doc>> {
    let mut found: Vec<Doc> = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let mut query = parameters.clone();
        query.extend([("limit", Some(PAGE.to_string())), ("cursor", cursor)]);
        let page = api.get(&with_query("/v1/messages", &query)).await?;
        let rows: Vec<Box<serde_json::value::RawValue>> = match super::detail::raw_member(&page.raw, "data") {
            Some(data) => serde_json::from_str(data.get())?,
            None => Vec::new(),
        };
        for row in rows {
            found.push(Doc::parse(row.get().as_bytes())?);
        }
        cursor = page.value["nextCursor"].as_str().map(str::to_owned);
        let back_far_enough = found.last().is_none_or(|last| known.is_empty() || known.contains_key(&id(&last.value)));
        if cursor.is_none() || (found.len() >= at_least && back_far_enough) {
            break;
        }
    }
    Ok(found)
}

fn id(message: &Value) -> String {
    message["id"].as_str().unwrap_or_default().to_owned()
}

/// What a line says, apart from the time: a second line that says the same is not printed.
fn state(message: &Value) -> String {
    format!("{} {}", message["status"], message["attemptCount"])
}

fn changed(known: &Known, message: &Value) -> bool {
    known.get(&id(message)).is_none_or(|before| *before != state(message))
}

fn remember(known: &mut Known, messages: &[Doc]) {
    known.extend(messages.iter().map(|message| (id(&message.value), state(&message.value))));
    if known.len() > KNOWN_MAX {
        // Ids begin with their time.
        let mut ids: Vec<String> = known.keys().cloned().collect();
        ids.sort_unstable();
        for old in &ids[..ids.len() - KNOWN_MAX] {
            known.remove(old);
        }
    }
}

fn print(out: &Printer, message: &Doc) {
    out.show(&message.raw, || {
        let message = &message.value;
        let time = if message["finishedAt"].is_null() { &message["createdAt"] } else { &message["finishedAt"] };
        let time = out.paint(&local(time).unwrap_or_default(), Some(Tone::Dim));
        let status = text_or_dash(&message["status"]);
        let space = " ".repeat(10_usize.saturating_sub(status.len()));
        out.say(&format!("{time}  {}  {}{space}  {:>5}  {}", id(message), out.status(&status), tries(message), destination(message)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_new_or_changed_is_printed_again_and_memory_has_an_end() {
        let doc = |id: usize, status: &str| {
            Doc::parse(json!({ "id": format!("msg_{id:05}"), "status": status, "attemptCount": 1 }).to_string().as_bytes()).unwrap()
        };
        let mut known = Known::new();
        remember(&mut known, &[doc(1, "queued")]);
        assert!(!changed(&known, &doc(1, "queued").value));
        assert!(changed(&known, &doc(1, "delivered").value) && changed(&known, &doc(2, "queued").value));
        let many: Vec<Doc> = (2..=KNOWN_MAX + 1).map(|number| doc(number, "queued")).collect();
        remember(&mut known, &many);
        assert_eq!(known.len(), KNOWN_MAX);
        assert!(!known.contains_key("msg_00001") && known.contains_key("msg_00002"));
    }
}
