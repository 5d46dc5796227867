//! What a publish as bytes accepts: the destination in the path, options as `Tikku-*` headers or `tikku-*` query parameters. They are
//! read as the members of the JSON that says the same, so that both ways know one set of rules. Out of scope: who may publish.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::destination::WORKFLOW;
use crate::fields::{FieldError, Fields, shown};
use crate::header_rules;
use crate::limits::ERRORS_MAX;
use crate::problem::{Kind, Problem};
use crate::publish::{self, NewMessage, Payload, Rules};

/// How an option's text becomes a JSON value.
#[derive(Clone, Copy)]
enum Form {
    /// As it is.
    Text,
    /// A number, true or false; whatever else is refused as text.
    Literal,
    /// Texts between commas.
    List,
}

/// The options, each with its place in the JSON of a publish.
const OPTIONS: [(&str, &str, Form); 20] = [
    ("Tikku-Delay-Seconds", "/delaySeconds", Form::Literal),
    ("Tikku-Not-Before", "/notBefore", Form::Text),
    ("Tikku-Max-Attempts", "/maxAttempts", Form::Literal),
    ("Tikku-Timeout-Seconds", "/timeoutSeconds", Form::Literal),
    ("Tikku-Idempotency-Key", "/idempotencyKey", Form::Text),
    ("Tikku-Content-Based-Deduplication", "/contentBasedDeduplication", Form::Literal),
    ("Tikku-Labels", "/labels", Form::List),
    ("Tikku-Callback-Url", "/callbackUrl", Form::Text),
    ("Tikku-Failure-Callback-Url", "/failureCallbackUrl", Form::Text),
    ("Tikku-Callback-Workflow", "/callbackWorkflow", Form::Text),
    ("Tikku-Failure-Callback-Workflow", "/failureCallbackWorkflow", Form::Text),
    ("Tikku-Flow-Control-Key", "/flowControl/key", Form::Text),
    ("Tikku-Flow-Control-Parallelism", "/flowControl/parallelism", Form::Literal),
    ("Tikku-Flow-Control-Rate", "/flowControl/rate", Form::Literal),
    ("Tikku-Flow-Control-Period-Seconds", "/flowControl/periodSeconds", Form::Literal),
    ("Tikku-Backoff-Type", "/backoff/type", Form::Text),
    ("Tikku-Backoff-Initial-Seconds", "/backoff/initialSeconds", Form::Literal),
    ("Tikku-Backoff-Factor", "/backoff/factor", Form::Literal),
    ("Tikku-Backoff-Max-Seconds", "/backoff/maxSeconds", Form::Literal),
    ("Tikku-Backoff-Jitter", "/backoff/jitter", Form::Literal),
];

const TWICE: &str = "is given more than once: it is a header or a query parameter";
const PREFIX: &str = "tikku-";
const FORWARD: &str = "forward-";
/// The option that names headers to pass as they came.
const PASSED: &str = "Tikku-Forward";
/// These describe the body, so they pass with it.
const OF_BODY: [&str; 2] = ["content-type", "content-encoding"];

/// Takes the values of `tikku-key` out of a query. Answers them, and the query without them; nothing may be left of it.
pub fn take_keys(query: &str) -> (Vec<String>, Option<String>) {
    let mut keys = Vec::new();
    let rest = kept(query, |name, value| {
        let key = name == "tikku-key";
        keys.extend(key.then_some(value));
        !key
    });
    (keys, rest)
}

/// The pieces of a query for which `keep` says so, given name in lower case and value, decoded. They stay as they are written.
fn kept(query: &str, mut keep: impl FnMut(&str, String) -> bool) -> Option<String> {
    let wanted = |piece: &&str| {
        let pair = url::form_urlencoded::parse(piece.as_bytes()).next();
        pair.is_none_or(|(name, value)| keep(&name.to_ascii_lowercase(), value.into_owned()))
    };
    let pieces: Vec<&str> = query.split('&').filter(wanted).collect();
    (!pieces.is_empty()).then(|| pieces.join("&"))
}

/// A request to publish bytes.
pub struct Request<'a> {
    /// Its method, one of [`publish::METHODS`].
    pub method: &'a str,
    /// What follows `/v1/publish/` in its path, as it was written.
    pub destination: &'a str,
    /// Its query, as it was written, without the key.
    pub query: Option<&'a str>,
    /// Its headers, names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its body, at most [`crate::limits::BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Reads one message. The pointer of an error is the option's name.
pub fn parse(request: Request<'_>, rules: &Rules<'_>) -> Result<NewMessage, Vec<FieldError>> {
    let mut read = Options::default();
    for (name, value) in request.headers {
        read.header(name, value);
    }
    let rest = request.query.and_then(|query| {
        kept(query, |name, value| {
            let ours = name.starts_with(PREFIX);
            if ours {
                read.option(name, value);
            }
            !ours
        })
    });
    read.destination(request.destination, rest.as_deref());
    let starts = read.members.contains_key("workflow");
    if starts {
        read.check_unpushed(&request.body);
    } else {
        read.pass(request.headers);
    }
    let Options { members, headers, mut errors, .. } = read;
    let json = Value::Object(members).to_string();
    let mut fields = Fields::parse(json.as_bytes()).map_err(|error| vec![error])?;
    let target = publish::target(&mut fields, rules.policy);
    let headers = publish::checked(&mut fields, headers);
    let body = (!request.body.is_empty()).then_some(request.body);
    if body.is_some() {
        publish::check_bodied(&mut fields, request.method);
    }
    let method = if starts { "POST" } else { request.method };
    let payload = Payload { target, method: method.to_owned(), headers, body, raw: true };
    let message = publish::take_options(&mut fields, rules, payload);
    errors.extend(fields.finish().err().into_iter().flatten().map(as_option));
    errors.truncate(ERRORS_MAX);
    if errors.is_empty() { Ok(message) } else { Err(errors) }
}

#[derive(Default)]
struct Options {
    members: Map<String, Value>,
    headers: Vec<(String, String)>,
    passed: Option<Vec<String>>,
    errors: Vec<FieldError>,
}

impl Options {
    fn refuse(&mut self, name: &str, detail: &str) {
        let pointer = shown(name).to_owned();
        self.errors.push(FieldError { detail: format!("{pointer} {detail}"), pointer });
    }

    fn destination(&mut self, text: &str, rest: Option<&str>) {
        if let Some(url) = absolute(text) {
            let url = rest.map_or_else(|| url.clone(), |rest| format!("{url}?{rest}"));
            self.members.insert("url".to_owned(), url.into());
            return;
        }
        let name = decoded(text);
        let (kind, name) = name.strip_prefix(WORKFLOW).map_or(("fanout", name.as_str()), |name| ("workflow", name));
        if kind == "fanout" && absolute(name).is_some() {
            self.refuse("destination", "must be written as it is, not percent-encoded as a whole: .../v1/publish/https://example.com/hook");
        }
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            self.refuse(
                &decoded(rest.split(['=', '&']).next().unwrap_or_default()),
                &format!("has no place to go: a {kind} takes no query"),
            );
        }
        self.members.insert(kind.to_owned(), name.into());
    }

    /// Notes what only a push has, and a body that is no input of a run.
    fn check_unpushed(&mut self, body: &[u8]) {
        if !self.headers.is_empty() || self.passed.is_some() {
            self.refuse(PASSED, "has no meaning with a workflow: what the run is to know belongs into its input");
        }
        if !body.is_empty() && serde_json::from_slice::<&RawValue>(body).is_err() {
            self.refuse("body", "must be JSON: it is the input of the run");
        }
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        // A push of another Tikku says which attempt it is.
        let wanted = name.starts_with(PREFIX) && name != "tikku-attempt";
        match std::str::from_utf8(value) {
            _ if !wanted => {}
            Err(_) => self.refuse(&titled(name), "must be text in UTF-8"),
            Ok(value) => self.option(name, value.to_owned()),
        }
    }

    /// Takes the list of headers to pass. A name twice is the name once.
    fn passed(&mut self, list: &str) {
        let mut names: Vec<(String, String)> = Vec::new();
        for name in list.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            if name == "authorization" {
                self.refuse(PASSED, "cannot name authorization: the API key stands there");
            } else if !names.iter().any(|(seen, _)| *seen == name) {
                names.push((name, String::new()));
            }
        }
        for error in header_rules::check(&names).err().unwrap_or_default() {
            self.refuse(PASSED, &format!("names {:?}: {}", shown(&error.name), error.fault));
        }
        if self.passed.replace(names.into_iter().map(|(name, _)| name).collect()).is_some() {
            self.refuse(PASSED, TWICE);
        }
    }

    /// Adds the headers that pass as they came. What a `Tikku-Forward-*` sets stands.
    fn pass(&mut self, came: &[(&str, &[u8])]) {
        let named = self.passed.take().unwrap_or_default();
        for name in OF_BODY.into_iter().chain(named.iter().map(String::as_str)) {
            if self.headers.iter().any(|(set, _)| set == name) {
                continue;
            }
            let lines = came.iter().filter(|(other, _)| *other == name).map(|(_, value)| std::str::from_utf8(value));
            match lines.collect::<Result<Vec<_>, _>>() {
                Ok(lines) if lines.is_empty() => {}
                // Several lines are one list (RFC 9110, section 5.3); of cookies, RFC 6265, section 5.4.
                Ok(lines) => self.headers.push((name.to_owned(), lines.join(if name == "cookie" { "; " } else { ", " }))),
                Err(_) => self.refuse(&titled(name), "must be text in UTF-8"),
            }
        }
    }

    /// Takes an option by its name in lower case.
    fn option(&mut self, name: &str, value: String) {
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        if let Some(forwarded) = bare.strip_prefix(FORWARD) {
            return self.headers.push((forwarded.to_owned(), value));
        }
        if name.eq_ignore_ascii_case(PASSED) {
            return self.passed(&value);
        }
        let Some((option, pointer, form)) = OPTIONS.iter().find(|(option, ..)| option.eq_ignore_ascii_case(name)) else {
            return self.refuse(&titled(name), "is not an option of a publish");
        };
        let value = match form {
            Form::Text => Value::String(value),
            Form::Literal => literal(value),
            Form::List => value.split(',').map(|text| Value::from(text.trim())).collect(),
        };
        let twice = match pointer[1..].split_once('/') {
            None => self.members.insert(pointer[1..].to_owned(), value).is_some(),
            Some((outer, inner)) => {
                let object = self.members.entry(outer).or_insert_with(|| Map::new().into());
                object.as_object_mut().is_some_and(|object| object.insert(inner.to_owned(), value).is_some())
            }
        };
        if twice {
            self.refuse(option, TWICE);
        }
    }
}

fn literal(text: String) -> Value {
    match text.as_str() {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse().map_or_else(|_| Value::String(text), Value::Number),
    }
}

/// The URL that the text is; proxies make one slash of two.
fn absolute(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    match rest.strip_prefix('/') {
        Some(host) if !host.starts_with('/') => Some(format!("{scheme}://{host}")),
        _ => Some(text.to_owned()),
    }
}

/// Percent-decoded. The decoder at hand is that of forms: what only means something there is hidden from it.
fn decoded(text: &str) -> String {
    let hidden = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(hidden.as_bytes()).next().map_or_else(String::new, |(name, _)| name.into_owned())
}

/// `tikku-max-x` as `Tikku-Max-X`.
fn titled(name: &str) -> String {
    let word = |word: &str| word.get(..1).map_or_else(|| word.to_owned(), |first| first.to_ascii_uppercase() + &word[1..]);
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// What is wrong with a message, as a problem. A path that names nothing is not found.
pub fn refusal(destination: &str, errors: Vec<FieldError>) -> Problem {
    let name = decoded(destination);
    let is_name = absolute(destination).is_none() && absolute(&name).is_none() && !name.starts_with(WORKFLOW);
    match errors.as_slice() {
        [error] if is_name && error.pointer == "destination" => unknown_fanout(),
        _ => Problem::invalid(errors),
    }
}

/// A problem of the JSON that says the same, in the words of the options.
pub fn renamed(problem: Problem) -> Problem {
    match problem.errors.as_slice() {
        [] => problem,
        [error] if error.pointer == "/fanout" => unknown_fanout(),
        _ => Problem::invalid(problem.errors.into_iter().map(as_option).collect()),
    }
}

fn unknown_fanout() -> Problem {
    Problem::new(Kind::NotFound, "there is no such fanout in this account; a destination that is a URL begins with https://")
}

/// An error of the JSON, in the words of the options.
fn as_option(error: FieldError) -> FieldError {
    let of = |pointer: &str| OPTIONS.iter().find(|(_, place, _)| *place == pointer).map(|(option, ..)| *option);
    let (parent, last) = error.pointer.rsplit_once('/').unwrap_or_default();
    // An entry of a list stands for the list.
    let (option, own) = match of(parent) {
        Some(list) => (Some(list), parent.trim_start_matches('/')),
        None => (of(&error.pointer), last),
    };
    let pointer = match (option, parent, last) {
        (Some(option), ..) => option.to_owned(),
        (_, "/headers", name) => format!("Tikku-Forward-{name}"),
        (_, "", "headers") => "Tikku-Forward-*".to_owned(),
        (_, "", "url" | "fanout" | "workflow") => "destination".to_owned(),
        (_, _, other) => other.to_owned(),
    };
    let named =
        |word: &str| OPTIONS.iter().find(|(_, place, _)| word.contains(char::is_uppercase) && place.rsplit('/').next() == Some(word));
    let word = |(index, word): (usize, &str)| match named(word) {
        _ if index == 0 && word == own => pointer.clone(),
        Some((option, ..)) => (*option).to_owned(),
        None => word.to_owned(),
    };
    let detail = error.detail.split(' ').enumerate().map(word).collect::<Vec<_>>().join(" ");
    FieldError { pointer, detail }
}

#[cfg(test)]
#[path = "raw_publish_tests.rs"]
mod tests;
