//! A deployment through its API: what `/healthz` says, the key, the clocks, what is late, what is broken.

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use tikku_store::migrate::VERSION;
use url::Url;

use super::finding::{Finding, failed, ok, schema, skew, tick, warning};
use crate::api::{Answer, Api, with_query};
use crate::exit::{Exit, code};
use crate::print::{text_or_dash, thousands};

/// What is due for longer than this and is not under way is late.
const LATE_MS: i64 = 120_000;

/// What was found, and whether the API works with this key, so that more can be tried.
pub struct Looked {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// Whether the API answers and knows the key.
    pub answers: bool,
}

/// Looks at the deployment.
pub async fn check(api: &Api) -> Looked {
    let mut findings = Vec::new();
    findings.extend(transport(api.url()));
    let health = match api.exchange(Method::GET, "/healthz", None, &[]).await {
        Ok(answer) => answer,
        Err(error) => {
            let remedy = "start it (`tikku dev`), or correct TIKKU_URL";
            findings.push(failed("api", format!("{error:#}"), remedy));
            return Looked { findings, answers: false };
        }
    };
    let works = read_health(api, &health, &mut findings);
    if !works {
        return Looked { findings, answers: false };
    }
    let answers = key(api, &mut findings).await;
    if answers {
        findings.push(clock(api, &health).await);
        for finding in [queue(api).await, dead_letters(api).await, breakers(api).await, apps(api).await] {
            findings.extend(finding);
        }
    }
    Looked { findings, answers }
}

fn transport(url: &str) -> Option<Finding> {
    let url = Url::parse(url).ok()?;
    let here = match url.host()? {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
    };
    let bare = url.scheme() == "http" && !here;
    bare.then(|| warning("transport", "the API key travels unencrypted", "put TLS before the API and use https in TIKKU_URL"))
}

/// Judges what `/healthz` answered; whether more can be asked.
fn read_health(api: &Api, health: &Answer, findings: &mut Vec<Finding>) -> bool {
    match api.read(health) {
        Ok(doc) if doc.value["schemaVersion"].is_i64() => {
            findings.push(ok("api", format!("{} answers", api.url())));
            let version = doc.value["schemaVersion"].as_i64().and_then(|version| version.try_into().ok()).unwrap_or(0);
            // The deployment has looked by itself whether its schema is new enough for it.
            let judged = schema(version, VERSION);
            findings.push(if version < VERSION { ok("schema", format!("version {version}; this program is newer")) } else { judged });
            findings.push(tick(doc.value["lastTickAgeSeconds"].as_f64()));
            true
        }
        Ok(_) => {
            findings.push(failed("api", format!("{} is not the Tikku API", api.url()), "correct TIKKU_URL"));
            false
        }
        Err(error) => {
            let says = format!("{error:#}");
            findings.push(match code(&error) {
                Exit::Unreachable if says.contains("schema") => failed("schema", says, "run `tikku migrate` with DATABASE_URL"),
                Exit::Unreachable => {
                    failed("database", says, "start the database, or look at why the deployment cannot reach it (its log has the error)")
                }
                _ => failed("api", says, "correct TIKKU_URL"),
            });
            false
        }
    }
}

/// Whether the API knows the key.
async fn key(api: &Api, findings: &mut Vec<Finding>) -> bool {
    match api.get("/v1/account").await {
        Ok(account) => {
            findings.push(ok("key", format!("of the account {}", text_or_dash(&account.value["name"]))));
            true
        }
        Err(error) => {
            findings.push(failed(
                "key",
                format!("{error:#}"),
                "set TIKKU_API_KEY to a key that is not revoked; `tikku keys create` makes one",
            ));
            false
        }
    }
}

/// The database's clock, which stamps signatures, beside this machine's; the API's own where the deployment is too old to say.
async fn clock(api: &Api, health: &Answer) -> Finding {
    let before = Timestamp::now();
    let overview = api.get("/v1/overview?minutes=1").await;
    let after = Timestamp::now();
    if let Some(time) = overview.ok().and_then(|overview| overview.value["at"].as_str()?.parse::<Timestamp>().ok()) {
        let between = (before.as_millisecond() + after.as_millisecond()) / 2;
        return skew("the database's clock", time.as_millisecond() - between);
    }
    let date = health.headers.get("date").and_then(|date| date.to_str().ok());
    match date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
        // It has whole seconds, and was taken a few requests ago.
        Some(time) => skew("the API's clock", (time.timestamp().as_millisecond() + 500) - before.as_millisecond()),
        None => warning("clock", "the API does not say what time it has", "deploy the version of this program"),
    }
}

/// What is due and lies about.
async fn queue(api: &Api) -> Option<Finding> {
    let now_ms = Timestamp::now().as_millisecond();
    let late_since = Timestamp::from_millisecond(now_ms - LATE_MS).ok()?.to_string();
    let mut late = 0;
    let mut oldest_ms = 0;
    for status in ["queued", "retrying"] {
        let query = [("status", Some(status.to_owned())), ("to", Some(late_since.clone())), ("limit", Some("200".to_owned()))];
        let page = match api.get(&with_query("/v1/messages", &query)).await {
            Ok(page) => page.value,
            Err(error) => return Some(failed("queue", format!("{error:#}"), "look at the log of publish")),
        };
        for message in page["data"].as_array().into_iter().flatten() {
            let age_ms = age(&message["dueAt"], now_ms).unwrap_or(0);
            // What waits for its flow or its breaker is not late.
            if message["waitingFor"].is_null() && age_ms > LATE_MS {
                late += 1;
                oldest_ms = oldest_ms.max(age_ms);
            }
        }
    }
    if late == 0 {
        return Some(ok("queue", "nothing is late"));
    }
    let says = format!("{} messages are late, one by {} s", thousands(late), oldest_ms / 1000);
    Some(failed(
        "queue",
        says,
        "look at the log of deliver, and whether its queue hands messages over (triggers, concurrency, permissions)",
    ))
}

fn age(time: &Value, now_ms: i64) -> Option<i64> {
    Some(now_ms - time.as_str()?.parse::<Timestamp>().ok()?.as_millisecond())
}

async fn dead_letters(api: &Api) -> Option<Finding> {
    let page = api.get("/v1/messages?limit=1").await.ok()?;
    let count = page.value["counts"]["failed"].as_u64().unwrap_or(0);
    if count == 0 {
        return Some(ok("dead letters", "there are none"));
    }
    Some(warning(
        "dead letters",
        format!("there are {}", thousands(count)),
        "`tikku dlq list` shows them, `tikku dlq retry` sends them again",
    ))
}

async fn breakers(api: &Api) -> Option<Finding> {
    let page = api.get("/v1/breakers?status=open&limit=200").await.ok()?;
    let open = page.value["data"].as_array().cloned().unwrap_or_default();
    if open.is_empty() {
        return Some(ok("breakers", "none is open"));
    }
    let names: Vec<String> = open.iter().take(3).map(|breaker| text_or_dash(&breaker["destination"])).collect();
    let says = format!("{} open: {}", open.len(), names.join(", "));
    Some(warning(
        "breakers",
        says,
        "these destinations fail: mend them; `tikku breakers list` shows why, `tikku breakers reset` tries at once",
    ))
}

async fn apps(api: &Api) -> Option<Finding> {
    let page = api.get("/v1/apps?limit=200").await.ok()?;
    let all = page.value["data"].as_array().cloned().unwrap_or_default();
    let broken: Vec<&Value> = all.iter().filter(|app| !app["describeError"].is_null()).collect();
    let Some(first) = broken.first() else {
        return (!all.is_empty()).then(|| ok("apps", format!("all {} say what they serve", all.len())));
    };
    let says = format!(
        "{} of {} do not say what they serve; {}: {}",
        broken.len(),
        all.len(),
        text_or_dash(&first["name"]),
        text_or_dash(&first["describeError"])
    );
    Some(warning("apps", says, format!("mend it, then `tikku apps sync {}`", text_or_dash(&first["name"]))))
}
