//! `tikku doctor`: finds out what is wrong and says what to do.
//!
//! What it looks at: the deployment through its API (`deployment`), the database itself where DATABASE_URL is given (`database`), and an endpoint
//! by a real signed push (`endpoint`). It changes nothing but that one message.

mod database;
mod deployment;
mod endpoint;
mod finding;

use anyhow::Result;
use serde_json::json;

use crate::api::Api;
use crate::clock::seconds;
use crate::connection::{Globals, find};
use crate::database::variable;
use crate::exit::{Exit, Fault};
use crate::print::{Printer, Tone, clean};
use finding::{Finding, Verdict};

#[derive(clap::Args)]
pub struct Args {
    /// An endpoint to send one signed message to: whether it is reached, answers, and verifies signatures
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// How long that message may take
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "20")]
    timeout: u64,
}

/// Runs the checks. Ends with 1 if one has failed.
pub async fn run(globals: &Globals, out: &Printer, args: &Args) -> Result<()> {
    let given = variable("DATABASE_URL");
    let named = globals.url.is_some() || globals.api_key.is_some() || args.endpoint.is_some();
    let connection = match find(globals) {
        Ok(connection) => Some(connection),
        // The database alone can be looked at too.
        Err(_) if given.is_some() && !named && variable("TIKKU_URL").is_none() && variable("TIKKU_API_KEY").is_none() => None,
        Err(error) => return Err(error),
    };
    let mut findings = Vec::new();
    let database_url = given.or_else(|| connection.as_ref().and_then(|connection| connection.database_url.clone()));
    if let Some(url) = &database_url {
        report(out, &mut findings, database::check(url).await);
    }
    if let Some(connection) = connection {
        let api = Api::new(connection)?;
        let looked = deployment::check(&api).await;
        let answers = looked.answers;
        report(out, &mut findings, looked.findings);
        if let (Some(endpoint), true) = (&args.endpoint, answers) {
            report(out, &mut findings, endpoint::check(&api, endpoint, args.timeout).await);
        }
    }
    conclude(out, &findings)
}

/// Prints findings as they come: a check may take its time. What the database said and the API says too is said once.
fn report(out: &Printer, findings: &mut Vec<Finding>, mut new: Vec<Finding>) {
    let is_ok = |finding: &Finding| finding.verdict == Verdict::Ok;
    new.retain(|one| !(is_ok(one) && findings.iter().any(|earlier| earlier.name == one.name && is_ok(earlier))));
    for finding in &new {
        let sign = match finding.verdict {
            Verdict::Ok => out.paint("ok     ", Some(Tone::Good)),
            Verdict::Warning => out.paint("warning", Some(Tone::Busy)),
            Verdict::Failed => out.paint("failed ", Some(Tone::Bad)),
        };
        out.say(&format!("{sign}  {:<12}  {}", finding.name, clean(&finding.says)));
        if let Some(remedy) = &finding.remedy {
            out.say(&format!("{:23}{}", "", out.paint(&clean(&format!("→ {remedy}")), Some(Tone::Bold))));
        }
    }
    findings.extend(new);
}

fn conclude(out: &Printer, findings: &[Finding]) -> Result<()> {
    let count = |verdict: Verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (warnings, failed) = (count(Verdict::Warning), count(Verdict::Failed));
    if out.json {
        out.done(&json!({ "ok": failed == 0, "warnings": warnings, "failed": failed, "checks": findings }), "");
    }
    match (failed, warnings) {
        (0, 0) => out.say("\nAll is well."),
        (0, _) => out.say(&format!("\nNothing has failed; {warnings} of {} deserve a look.", findings.len())),
        _ => return Err(Fault::error(Exit::Failed, format!("{failed} of {} checks have failed", findings.len()))),
    }
    Ok(())
}
