//! `tikku secrets`: the signing secret, which endpoints verify with. It is printed only with `--show`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Api, Doc};
use crate::clock::{local, seconds};
use crate::json_text::Object;
use crate::print::{Printer, text};

/// How much of a secret is shown without `--show`: the prefix and four of its digits.
const HINT_CHARS: usize = 10;

#[derive(Subcommand)]
pub enum Command {
    /// Shows when it was made, and the rotated ones that still sign
    Get {
        #[command(flatten)]
        show: Show,
    },
    /// Makes a new one; the old one signs beside it for a while
    Rotate {
        /// How long the old one still signs; a day without it
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        overlap: Option<u64>,
        #[command(flatten)]
        show: Show,
    },
}

#[derive(clap::Args)]
pub struct Show {
    /// Print the secrets themselves
    #[arg(long)]
    show: bool,
}

/// Runs the command.
pub async fn run(command: Command, api: &Api, out: &Printer) -> Result<()> {
    let (secret, show) = match command {
        Command::Get { show } => (api.get("/v1/signing-secret").await?, show),
        Command::Rotate { overlap, show } => {
            let mut body = Object::default();
            body.set("overlapSeconds", overlap)?;
            (api.post("/v1/signing-secret/rotate", Some(body.text()?)).await?, show)
        }
    };
    print(out, if show.show { secret.value } else { hidden(secret) });
    Ok(())
}

/// The document with each secret's beginning only, as `hint`.
fn hidden(secret: Doc) -> Value {
    let mut document = secret.value;
    hide(&mut document);
    document["previous"].as_array_mut().into_iter().flatten().for_each(hide);
    document
}

fn hide(document: &mut Value) {
    if let Some(Value::String(secret)) = document.as_object_mut().and_then(|members| members.remove("secret")) {
        document["hint"] = json!(secret.chars().take(HINT_CHARS).collect::<String>());
    }
}

/// The secret, or its beginning and how to see it.
fn shown(document: &Value) -> Option<String> {
    text(&document["secret"]).or_else(|| Some(format!("{}… (--show prints it)", text(&document["hint"])?)))
}

fn print(out: &Printer, secret: Value) {
    if out.json {
        out.done(&secret, "");
        return;
    }
    out.facts(&[("Secret", shown(&secret)), ("Made", local(&secret["createdAt"]))]);
    for previous in secret["previous"].as_array().into_iter().flatten() {
        let until = local(&previous["expiresAt"]).unwrap_or_default();
        out.say(&format!("Signs too until {until}: {}", shown(previous).unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_secret_is_known_by_its_beginning() {
        let document = json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "previous": [{ "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "expiresAt": "x" }] });
        let hidden = hidden(Doc::parse(document.to_string().as_bytes()).unwrap());
        assert_eq!(hidden, json!({ "hint": "whsec_MfKQ", "previous": [{ "hint": "whsec_C2FV", "expiresAt": "x" }] }));
    }
}
