//! `tikku publish`: one message, and what becomes of it with `--wait`.
//!
//! Out of scope: batches and raw bytes, which the API has.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::api::{Api, Doc};
use crate::clock::{moment, seconds};
use crate::delivery::{Delivery, Target};
use crate::exit::{Exit, Fault};
use crate::json_text::Object;
use crate::print::{Printer, text_or_dash};

/// How often a message that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    delivery: Delivery,
    /// Not before so long from now: 90, 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "not_before")]
    delay: Option<u64>,
    /// Not before this time, as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_before: Option<String>,
    /// The same key and payload again is the first message
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The payload is the key
    #[arg(long)]
    content_based_deduplication: bool,
    /// Wait for its end, at most so long; without a time, a minute. Ends with 1 if it fails, with 6 if it is not over by then
    #[arg(long, value_name = "TIME", value_parser = seconds, num_args = 0..=1, default_missing_value = "60", require_equals = true)]
    wait: Option<u64>,
}

/// Runs the command.
pub async fn run(args: &Args, api: &Api, out: &Printer) -> Result<()> {
    let mut body = Object::default();
    args.target.write(&mut body)?;
    args.delivery.write(&mut body)?;
    body.set("delaySeconds", args.delay)?;
    body.set("notBefore", args.not_before.as_ref())?;
    body.set("idempotencyKey", args.idempotency_key.as_ref())?;
    body.set("contentBasedDeduplication", args.content_based_deduplication.then_some(true))?;
    let answer = api.post("/v1/messages", Some(body.text()?)).await?;
    let Some(wait) = args.wait else {
        out.show(&answer.raw, || accepted(&answer.value, out));
        return Ok(());
    };
    let Some(id) = answer.value["id"].as_str() else {
        out.show(&answer.raw, || accepted(&answer.value, out));
        return Err(Fault::error(Exit::Usage, "--wait is for one message: a fanout makes several"));
    };
    let over = wait_for(api, id, Duration::from_secs(wait)).await?;
    out.show(&over.raw, || accepted(&over.value, out));
    match over.value["status"].as_str().unwrap_or_default() {
        "delivered" => Ok(()),
        "failed" => Err(Fault::error(Exit::Failed, format!("{id} has failed: {}", last_word(&over.value)))),
        "cancelled" => Err(Fault::error(Exit::Failed, format!("{id} was cancelled"))),
        status => Err(Fault::error(Exit::TooLong, format!("{id} is {status} after {wait} s"))),
    }
}

fn accepted(answer: &Value, out: &Printer) {
    let again = if answer["deduplicated"] == true { "  (it was there already)" } else { "" };
    if let Some(messages) = answer["messages"].as_array() {
        for message in messages {
            let to = if message["url"].is_null() { &message["workflow"] } else { &message["url"] };
            out.say(&format!(
                "{}  {}  {}{again}",
                text_or_dash(&message["id"]),
                out.status(&text_or_dash(&message["status"])),
                text_or_dash(to)
            ));
        }
        return;
    }
    out.say(&format!("{}  {}{again}", text_or_dash(&answer["id"]), out.status(&text_or_dash(&answer["status"]))));
}

/// Looks at a message until it is over or the time is; answers it as it is then.
pub async fn wait_for(api: &Api, id: &str, most: Duration) -> Result<Doc> {
    let begun = Instant::now();
    loop {
        let message = api.get(&format!("/v1/messages/{id}")).await?;
        let over = ["delivered", "failed", "cancelled"].iter().any(|status| message.value["status"] == *status);
        if over || begun.elapsed() >= most {
            return Ok(message);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What the last attempt of a message said.
pub fn last_word(message: &Value) -> String {
    let last = message["attempts"].as_array().and_then(|attempts| attempts.last()).unwrap_or(&Value::Null);
    match (last["responseStatus"].as_u64(), last["error"].as_str()) {
        (Some(status), None) => format!("its endpoint answered {status}"),
        (_, Some(error)) => error.to_owned(),
        (None, None) => "nobody says why".to_owned(),
    }
}
