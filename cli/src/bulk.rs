//! Work on many things: chunk by chunk until nothing remains, with a bar on a terminal; or one by one by their ids.
//!
//! Out of scope: what the routes do to each.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use crate::api::{Again, Api};
use crate::exit::{self, Exit, Fault};
use crate::json_text::Object;
use crate::print::{Printer, text_or_dash, thousands};
use crate::screen;

/// Cells of the bar.
const BAR_CELLS: u64 = 30;
/// Calls in a row that may achieve nothing: somebody else works on the same.
const IDLE_MAX: u32 = 5;
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// What is worked on.
pub enum Pick {
    /// These, in lists of at most so many.
    Ids(Vec<String>, usize),
    /// All that match this filter.
    Filter(Object),
}

/// A bulk route and how to speak of it.
pub struct Work<'a> {
    /// `/v1/dlq/retry`, ...
    pub path: &'a str,
    /// What was done, as in `3 messages retried`.
    pub done: &'a str,
    /// What it is done to, in the plural.
    pub noun: &'a str,
}

/// Does the work in chunks and prints how many it was done to.
pub async fn run(api: &Api, out: &Printer, work: &Work<'_>, pick: &Pick) -> Result<()> {
    let mut bar = Bar::new(out, work.noun);
    let mut total = Total::default();
    let ran = match pick {
        Pick::Ids(ids, most) => by_ids(api, work.path, ids, *most, &mut total, &mut bar).await,
        Pick::Filter(filter) => by_filter(api, work.path, filter, &mut total, &mut bar).await,
    };
    bar.clear();
    if let Err(error) = ran {
        if total.count > 0 {
            screen::complain(&format!("{} {} were {} before that", thousands(total.count), work.noun, work.done));
        }
        return Err(error);
    }
    let Total { count, remaining, as_of, chunks } = &total;
    let document = json!({ "count": count, "remaining": remaining, "asOf": as_of, "chunks": chunks });
    out.done(&document, &format!("{} {} {}.", thousands(*count), work.noun, work.done));
    Ok(())
}

#[derive(Default)]
struct Total {
    count: u64,
    remaining: u64,
    as_of: Value,
    chunks: u32,
}

impl Total {
    async fn call(&mut self, api: &Api, path: &str, body: String) -> Result<u64> {
        // A chunk whose answer was lost is not done twice: what it did is no longer in that state.
        let answer = api.send(Method::POST, path, Some(body), &[], Again::Yes).await?.value;
        let count = answer["count"].as_u64().context("a bulk answer has a count")?;
        self.count += count;
        self.remaining = answer["remaining"].as_u64().context("a bulk answer says what remains")?;
        self.as_of = answer["asOf"].clone();
        self.chunks += 1;
        Ok(count)
    }
}

async fn by_ids(api: &Api, path: &str, ids: &[String], most: usize, total: &mut Total, bar: &mut Bar) -> Result<()> {
    for (index, chunk) in ids.chunks(most).enumerate() {
        total.call(api, path, json!({ "ids": chunk }).to_string()).await?;
        bar.show(((index * most) + chunk.len()) as u64, ids.len() as u64);
    }
    Ok(())
}

async fn by_filter(api: &Api, path: &str, filter: &Object, total: &mut Total, bar: &mut Bar) -> Result<()> {
    let mut idle = 0;
    loop {
        let filter = filter.text()?;
        let body = match total.as_of.as_str() {
            Some(as_of) => format!("{{\"filter\":{filter},\"asOf\":{}}}", json!(as_of)),
            None => format!("{{\"filter\":{filter}}}"),
        };
        let count = total.call(api, path, body).await?;
        bar.show(total.count, total.count + total.remaining);
        if total.remaining == 0 {
            return Ok(());
        }
        idle = if count == 0 { idle + 1 } else { 0 };
        if idle >= IDLE_MAX {
            let text = format!("{} remain, and call after call did nothing: somebody else works on the same", thousands(total.remaining));
            return Err(Fault::error(Exit::Failed, text));
        }
        if count == 0 {
            tokio::time::sleep(IDLE_PAUSE).await;
        }
    }
}

/// A bar on standard error, where that is a terminal and nobody asked for JSON.
struct Bar {
    noun: String,
    shown: bool,
    wanted: bool,
}

impl Bar {
    fn new(out: &Printer, noun: &str) -> Bar {
        Bar { noun: noun.to_owned(), shown: false, wanted: !out.json && std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64, of: u64) {
        // Most are one chunk: a bar would only flash.
        if !self.wanted || (done >= of && !self.shown) {
            return;
        }
        let _gone = write!(std::io::stderr(), "\r\x1b[K{}", bar_text(done, of, &self.noun));
        self.shown = true;
    }

    fn clear(&mut self) {
        if self.shown {
            let _gone = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar_text(done: u64, of: u64, noun: &str) -> String {
    let of = of.max(1);
    let full = (done * BAR_CELLS / of).min(BAR_CELLS);
    let cells: String = (0..BAR_CELLS).map(|cell| if cell < full { '█' } else { '░' }).collect();
    format!("{cells} {} of {} {noun}, {} %", thousands(done), thousands(of), (done * 100 / of).min(100))
}

/// Asks before what cannot be undone. Where nobody can answer, `--yes` must be given.
pub fn confirm(yes: Confirmed, question: &str) -> Result<()> {
    if yes == Confirmed::Already {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Fault::error(Exit::Usage, format!("{question} Say --yes: there is no terminal to ask on")));
    }
    let _gone = write!(std::io::stderr(), "{question} [y/N] ").and_then(|()| std::io::stderr().flush());
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("could not read the answer")?;
    let agreed = ["y", "yes"].contains(&line.trim().to_lowercase().as_str());
    if agreed { Ok(()) } else { Err(Fault::error(Exit::Failed, "nothing was done")) }
}

/// Whether `--yes` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It was.
    Already,
    /// Somebody is to be asked.
    NotYet,
}

impl From<bool> for Confirmed {
    fn from(yes: bool) -> Self {
        if yes { Self::Already } else { Self::NotYet }
    }
}

/// Does one thing after the other: `POST {path(id)}`. One id prints its document; several print `{"data": [...]}`, what failed as `{"id", "error"}`.
/// All are tried; the first fault is the end's.
pub async fn each(api: &Api, out: &Printer, ids: &[String], done: &str, path: impl Fn(&str) -> String) -> Result<()> {
    let mut first: Option<anyhow::Error> = None;
    let mut documents = Vec::new();
    for id in ids {
        match api.post(&path(id), None).await {
            Ok(doc) => {
                let shown = text_or_dash(&doc.value["id"]);
                let from = if shown == *id || shown == "-" { String::new() } else { format!(" as {shown}") };
                out.say(&format!("{id}  {done}{from}  {}", out.status(&text_or_dash(&doc.value["status"]))));
                documents.push(doc.raw.get().to_owned());
            }
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                out.say(&format!("{id}  {error:#}"));
                let mut document = exit::document(&error);
                document["id"] = json!(id);
                documents.push(document.to_string());
                first.get_or_insert(error);
            }
        }
    }
    match documents.as_slice() {
        _ if !out.json => {}
        [one] => screen::say(one),
        all => screen::say(&format!("{{\"data\":[{}]}}", all.join(","))),
    }
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_the_work_goes_on() {
        assert_eq!(bar_text(0, 10_000, "messages"), format!("{} 0 of 10,000 messages, 0 %", "░".repeat(30)));
        assert_eq!(bar_text(5_000, 10_000, "messages"), format!("{}{} 5,000 of 10,000 messages, 50 %", "█".repeat(15), "░".repeat(15)));
        assert_eq!(bar_text(7, 7, "runs"), format!("{} 7 of 7 runs, 100 %", "█".repeat(30)));
        assert_eq!(bar_text(0, 0, "runs"), format!("{} 0 of 1 runs, 0 %", "░".repeat(30)));
    }
}
